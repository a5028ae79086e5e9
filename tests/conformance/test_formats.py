"""Reports in each format, of a target that sends what breaks formats."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec.structs import replace

from homeserver.cli.conform_run import FORMATS
from homeserver.conformance.result import VERDICTS, Report, Result
from homeserver.lab.record.views import ExchangeDetails, MessageView

_HOSTILE = "</script><b>'\"&]]> | # `x` [a](b)\x1b[31m\0\u202e\nnot ok 99"


def _result(number: int, verdict: str) -> Result:
    exchange = ExchangeDetails(
        id=number,
        kind="request",
        direction="out",
        server=_HOSTILE,
        peer="target.test",
        address="127.0.0.1",
        started_ts=0,
        seconds=0.1,
        method="GET",
        path=_HOSTILE,
        remarks=[],
        hints=[],
        request=MessageView(headers=[("Host", _HOSTILE)], body=_HOSTILE),
        response=MessageView(headers=[("Server", _HOSTILE)], body=_HOSTILE),
    )
    return Result(
        id=f"K0{number}",
        area="K",
        severity="must",
        result=verdict,  # type: ignore[arg-type]
        rule="A rule.",
        section="Server-server API, Publishing Keys",
        expected=_HOSTILE,
        observed=_HOSTILE,
        seconds=0.25,
        exchange=[exchange],
    )


@pytest.fixture
def report() -> Report:
    """A report with a check of each verdict."""
    results = [_result(n, verdict) for n, verdict in enumerate(VERDICTS, 1)]
    return Report(
        target="target.test",
        version=_HOSTILE,
        spec="v1.19",
        checks=results,
        options=["--setup", "make room"],
    )


def test_junit_is_xml(report: Report) -> None:
    """It counts what CI systems count, and has a case for each check."""
    suite = ET.fromstring(FORMATS["junit"](report))
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors")}
    assert counts == {"tests": "6", "failures": "1", "errors": "1"}
    assert suite.get("skipped") == "1"
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "--only K01" in str(failure.text)


def test_tap_has_a_line_for_each_check(report: Report) -> None:
    """A text of the target makes no line of its own."""
    lines = FORMATS["tap"](report).splitlines()
    assert lines[:2] == ["TAP version 13", "1..6"]
    told = [line for line in lines[2:] if not line.startswith("# ")]
    assert [line.partition(" - ")[0] for line in told] == [
        "not ok 1",
        "not ok 2",
        "ok 3",
        "ok 4",
        "ok 5",
        "ok 6",
    ]
    assert "# SKIP" in told[3]


class _Page(HTMLParser):
    """The tags of a page, and what they load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As `HTMLParser`."""
        self.tags.append(tag)
        self.loaded += [f"{tag} {n}" for n, _ in attrs if n in {"src", "onclick"}]


def test_html_loads_nothing(report: Report) -> None:
    """It has no script, and a text of the target makes no tag."""
    page = _Page()
    page.feed(FORMATS["html"](report))
    assert page.loaded == []
    assert not {"script", "link", "img"} & set(page.tags)
    assert page.tags.count("details") == 6
    # Each result has one <b> for its verdict.
    assert page.tags.count("b") == 6


def test_markdown_counts_the_verdicts_of_an_area(report: Report) -> None:
    """An area has a row of how often each verdict was; for none a cell is empty."""
    checks = [_result(n, verdict) for n, verdict in enumerate(["pass", "pass", "fail"])]
    lines = FORMATS["markdown"](replace(report, checks=checks)).splitlines()
    counts = {"pass": "2", "fail": "1"}
    cells = " | ".join(counts.get(verdict, "") for verdict in VERDICTS)
    assert f"| K: Its own key document | {cells} |" in lines


def test_markdown_has_a_row_for_what_did_not_pass(report: Report) -> None:
    """A text of the target makes no row and no cell."""
    text = FORMATS["markdown"](report)
    rows = [line for line in text.splitlines() if line.startswith("| K0")]
    assert len(rows) == 5
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5


def test_text_obeys_no_terminal(report: Report) -> None:
    """What a terminal would obey is escaped or left out."""
    text = FORMATS["text"](report)
    assert all(line.isprintable() for line in text.splitlines())
    assert "homeserver conform target.test --setup 'make room' --only K01" in text


def test_json_has_the_members_that_are_documented(report: Report) -> None:
    """Their names are for programs."""
    told = msgspec.json.decode(FORMATS["json"](report))
    assert told.keys() == {"target", "version", "spec", "checks"}
    assert told["checks"][0].keys() == {
        "id",
        "area",
        "severity",
        "result",
        "rule",
        "section",
        "expected",
        "observed",
        "seconds",
        "exchange",
    }


def test_a_sum_in_text(report: Report) -> None:
    """The last line has the number of checks, and of each verdict."""
    one = replace(report, checks=report.checks[:1])
    assert FORMATS["text"](one).endswith(f"\n1 check: 1 {VERDICTS[0]}")
    assert "\n6 checks: " in FORMATS["text"](report)
