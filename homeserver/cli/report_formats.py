"""A report on a server in the formats of test tools: text, TAP, JUnit and HTML.

Rules: each check is one test. Text of a server is escaped as the format demands.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any
from xml.sax.saxutils import escape as escape_xml
from xml.sax.saxutils import quoteattr

from homeserver.cli.render import count
from homeserver.protocol.errors import printable

Report = dict[str, Any]

_MARKS = {"passed": "ok", "failed": "WRONG", "remarked": "remark"}


def as_text(report: Report) -> str:
    """A report for a person."""
    lines = [f"{report['server_name']}: {_summary(report)}"]
    for check in report["checks"]:
        lines.append(f"{_MARKS[check['outcome']]}: {check['name']}: {check['text']}")
        lines += [f"    {check['example']}"] if check["example"] else []
    if report["attempts"]:
        lines.append("its transactions:")
    lines += [f"    {_attempt(each)}" for each in report["attempts"]]
    return "\n".join(map(printable, lines))


def as_tap(report: Report) -> str:
    """A report for the Test Anything Protocol, version 13."""
    lines = ["TAP version 13", f"1..{len(report['checks'])}"]
    for number, check in enumerate(report["checks"], 1):
        word = "not ok" if check["outcome"] == "failed" else "ok"
        said = printable(f"{check['name']}: {check['text']}").replace("#", "")
        lines.append(f"{word} {number} - {said}")
        if check["example"]:
            lines.append(f"# {printable(check['example'])}")
    return "\n".join(lines)


def as_junit(report: Report) -> str:
    """A report as JUnit writes it, which most CI systems read."""
    checks = report["checks"]
    failures = sum(each["outcome"] == "failed" for each in checks)
    name = quoteattr(printable(report["server_name"]))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={name} tests="{len(checks)}" failures="{failures}">',
    ]
    for check in checks:
        case = f"  <testcase classname={name} name={quoteattr(check['name'])}"
        said = printable(f"{check['text']} {check['example']}".strip())
        if check["outcome"] == "failed":
            message = quoteattr(printable(check["text"]))
            lines.append(
                f"{case}><failure message={message}>{escape_xml(said)}</failure>"
                "</testcase>"
            )
        else:
            lines.append(
                f"{case}><system-out>{escape_xml(said)}</system-out></testcase>"
            )
    return "\n".join([*lines, "</testsuite>"])


def as_html(report: Report) -> str:
    """A report as one page without a script or an address."""
    name = escape(printable(report["server_name"]))
    rows = [
        f"<tr><td>{escape(_MARKS[check['outcome']])}</td>"
        f"<td>{escape(printable(check['name']))}</td>"
        f"<td>{escape(printable(check['text']))}"
        f"<br><small>{escape(printable(check['example']))}</small></td></tr>"
        for check in report["checks"]
    ]
    attempts = [
        f"<li>{escape(printable(_attempt(each)))}</li>" for each in report["attempts"]
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><meta charset="utf-8"><title>{name}</title>',
            f"<h1>{name}</h1><p>{escape(_summary(report))}</p>",
            "<table>",
            *rows,
            "</table><ol>",
            *attempts,
            "</ol></html>",
        ]
    )


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": as_text,
    "tap": as_tap,
    "junit": as_junit,
    "html": as_html,
}
"""{name: what writes a report}; JSON is the answer of the daemon itself."""


def _summary(report: Report) -> str:
    if not report["checks"]:
        return "nothing is known of it"
    failed = sum(each["outcome"] == "failed" for each in report["checks"])
    checks = count(len(report["checks"]), "check", "checks")
    return f"{checks}, {failed} of them wrong" if failed else f"{checks}, all right"


def _attempt(attempt: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(attempt["ts"] / 1000, UTC)
    said = f"{when:%Y-%m-%d %H:%M:%S}.{attempt['ts'] % 1000:03} UTC"
    said += f" {attempt['txn_id']}: {attempt['status']}"
    if attempt["pause"] is not None:
        said += f", again after {attempt['pause']:.1f} s"
    if attempt["same_content"] is not None:
        said += ", same content" if attempt["same_content"] else ", OTHER content"
    return said
