"""A report in each of its formats."""

from xml.etree import ElementTree

import pytest

from homeserver.cli.report_formats import FORMATS, Report

REPORT: Report = {
    "server_name": "them.example",
    "is_wrong": True,
    "checks": [
        {
            "name": "verification",
            "outcome": "passed",
            "text": "verified by certificate",
            "count": 1,
            "example": "",
        },
        {
            "name": "bad_signature",
            "outcome": "failed",
            "text": "1 requests were refused",
            "count": 1,
            "example": "<b>&\x1b#",
        },
        {
            "name": "no_sni",
            "outcome": "remarked",
            "text": "remarked 2 times",
            "count": 2,
            "example": "no name",
        },
    ],
    "attempts": [
        {
            "ts": 1_000_000_000_123,
            "txn_id": "t\x1b",
            "status": 503,
            "pause": None,
            "same_content": None,
        },
        {
            "ts": 1_000_000_001_123,
            "txn_id": "t",
            "status": 503,
            "pause": 1.0,
            "same_content": True,
        },
        {
            "ts": 1_000_000_002_123,
            "txn_id": "t",
            "status": 200,
            "pause": 1.0,
            "same_content": False,
        },
    ],
}


def test_text() -> None:
    """A line for each check and each attempt."""
    assert FORMATS["text"](REPORT).split("\n") == [
        "them.example: 3 checks, 1 of them wrong",
        "ok: verification: verified by certificate",
        "WRONG: bad_signature: 1 requests were refused",
        r"    <b>&\x1b#",
        "remark: no_sni: remarked 2 times",
        "    no name",
        "its transactions:",
        r"    2001-09-09 01:46:40.123 UTC t\x1b: 503",
        "    2001-09-09 01:46:41.123 UTC t: 503, again after 1.0 s, same content",
        "    2001-09-09 01:46:42.123 UTC t: 200, again after 1.0 s, OTHER content",
    ]
    empty = {"server_name": "a", "checks": [], "attempts": []}
    assert FORMATS["text"](empty) == "a: nothing is known of it"
    good = {**REPORT, "checks": REPORT["checks"][:1], "attempts": []}
    assert FORMATS["text"](good).startswith("them.example: 1 check, all right\n")


def test_tap() -> None:
    """A plan, and a test for each check."""
    assert FORMATS["tap"](REPORT).split("\n") == [
        "TAP version 13",
        "1..3",
        "ok 1 - verification: verified by certificate",
        "not ok 2 - bad_signature: 1 requests were refused",
        r"# <b>&\x1b#",
        "ok 3 - no_sni: remarked 2 times",
        "# no name",
    ]


def test_junit() -> None:
    """A suite that an XML parser reads, with one failure."""
    suite = ElementTree.fromstring(FORMATS["junit"](REPORT))
    assert suite.attrib == {"name": "them.example", "tests": "3", "failures": "1"}
    [failure] = suite.iter("failure")
    assert failure.text == r"1 requests were refused <b>&\x1b#"
    assert len(list(suite.iter("testcase"))) == 3


def test_html() -> None:
    """A page in which nothing of the server is markup."""
    page = FORMATS["html"](REPORT)
    assert "&lt;b&gt;&amp;\\x1b#" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 3
    assert page.count("<li>") == 3


@pytest.mark.parametrize("form", FORMATS)
def test_no_control_character(form: str) -> None:
    """No format shows a control character of the server."""
    assert "\x1b" not in FORMATS[form](REPORT)
