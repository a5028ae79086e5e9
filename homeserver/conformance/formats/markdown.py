"""A report as a table of Markdown, for a README or a pull request.

Rules: what a target sent is escaped, so that it makes no row and no link.
"""

import re

from homeserver.conformance.check import link_of
from homeserver.conformance.registry import title_of
from homeserver.conformance.result import VERDICTS, Report, Result
from homeserver.protocol.errors import printable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#!~&])")


def as_markdown(report: Report) -> str:
    """The areas with their counts, and a row for each check that did not pass."""
    who = _escaped(f"{report.target} ({report.version})")
    lines = [
        f"**{who}**, specification {report.spec}",
        "",
        f"| area | {' | '.join(VERDICTS)} |",
        "|---|" + "---|" * len(VERDICTS),
    ]
    for area in dict.fromkeys(each.area for each in report.checks):
        of_area = [each for each in report.checks if each.area == area]
        counts = [sum(e.result == verdict for e in of_area) for verdict in VERDICTS]
        cells = " | ".join(str(count or "") for count in counts)
        lines.append(f"| {area}: {title_of(area)} | {cells} |")
    lines += ["", "| check | result | rule | observed |", "|---|---|---|---|"]
    lines += [
        _row(each)
        for verdict in VERDICTS
        for each in report.checks
        if each.result == verdict != "pass"
    ]
    return "\n".join(lines)


def _row(result: Result) -> str:
    link = link_of(result.section) if result.section else None
    rule = _escaped(result.rule)
    told = f"[{rule}]({link})" if link else rule
    return f"| {result.id} | {result.result} | {told} | {_escaped(result.observed)} |"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(text))
