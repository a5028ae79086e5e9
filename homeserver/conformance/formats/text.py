"""A report as text, for a person: the failures with all that is needed to repeat them.

Rules: what a target sent is shown without what a terminal would obey.
"""

from collections.abc import Iterator

from homeserver.conformance.check import link_of
from homeserver.conformance.registry import title_of
from homeserver.conformance.reply import shown
from homeserver.conformance.result import VERDICTS, Report, Result
from homeserver.lab.record.views import ExchangeDetails, MessageView
from homeserver.protocol.errors import printable

_MARKS = {
    "pass": "ok",
    "fail": "FAIL",
    "warn": "warn",
    "info": "info",
    "not-testable": "-",
    "error": "ERROR",
}
_MAX_BODY = 600  # characters of a body; the JSON report has it whole


def as_text(report: Report) -> str:
    """The whole report."""
    lines = [f"{report.target} ({report.version}), specification {report.spec}", ""]
    area = ""
    for result in report.checks:
        if result.area != area:
            area = result.area
            lines.append(f"{area}  {title_of(area)}")
        lines += _line(result)
    urgent = [r for r in report.checks if r.result in {"fail", "error", "warn"}]
    for result in urgent:
        lines += ["", *_in_full(report, result)]
    lines += ["", summary(report)]
    return "\n".join(map(printable, lines))


def _line(result: Result) -> Iterator[str]:
    """One result; what did not pass has a second line."""
    yield f"  {_MARKS[result.result]:5} {result.id:7} {result.rule}"
    if result.result != "pass":
        yield f"{'':16}{shown(result.observed)}"


def summary(report: Report) -> str:
    """How many results there are of each verdict."""
    counts = report.counts
    parts = [f"{counts[each]} {each}" for each in VERDICTS if counts[each]]
    noun = "check" if len(report.checks) == 1 else "checks"
    return f"{len(report.checks)} {noun}: {', '.join(parts) or 'none'}"


def _in_full(report: Report, result: Result) -> Iterator[str]:
    yield f"{_MARKS[result.result]} {result.id}: {result.rule}"
    if result.section:
        link = link_of(result.section)
        yield f"  rule: {result.section}" + (f" <{link}>" if link else "")
    if result.expected:
        yield f"  expected: {result.expected}"
    yield f"  observed: {shown(result.observed)}"
    yield f"  repeat: {printable(report.repeat(result.id))}"
    for exchange in result.exchange:
        yield from _exchange(exchange)


def _exchange(each: ExchangeDetails) -> Iterator[str]:
    way = "->" if each.direction == "out" else "<-"
    outcome = each.status or each.reason or each.verdict or "completed"
    what = f"{each.method or ''} {each.path or ''}".strip()
    ours = each.server or "no name of ours"
    yield f"  {way} {each.kind} {what} ({ours}): {shown(str(outcome))}"
    for hint in each.hints:
        yield f"     hint: {shown(hint.text)}"
    if each.kind == "request" and each.direction == "out":
        yield from _message("sent", each.request)
        yield from _message("came", each.response)


def _message(label: str, message: object) -> Iterator[str]:
    if not isinstance(message, MessageView):
        return
    for name, value in message.headers:
        yield f"     {label} {name}: {value}"
    body = message.body if isinstance(message.body, str) else message.body_base64
    if isinstance(body, str) and body:
        cut = "..." if len(body) > _MAX_BODY else ""
        yield f"     {label} {body[:_MAX_BODY]}{cut}"
