"""A report for the tools that run tests: JUnit, which most CI systems read, and TAP.

Rules: each check is one test; what is not testable is skipped, and an error of a check
is no failure of the target. What a target sent is escaped as the format demands.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from homeserver.conformance.check import link_of
from homeserver.conformance.result import Report, Result
from homeserver.protocol.errors import printable


def as_junit(report: Report) -> str:
    """A report as JUnit writes it."""
    name = quoteattr(printable(report.target))
    counts = report.counts
    suite = (
        f'<testsuite name={name} tests="{len(report.checks)}" '
        f'failures="{counts["fail"]}" errors="{counts["error"]}" '
        f'skipped="{counts["not-testable"]}" '
        f'time="{sum(each.seconds for each in report.checks):.3f}">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', suite]
    for each in report.checks:
        title = quoteattr(f"{each.id} {each.rule}")
        lines.append(
            f'  <testcase classname={quoteattr(each.area)} name={title} time="'
            f'{each.seconds:.3f}">{_case(report, each)}</testcase>'
        )
    return "\n".join([*lines, "</testsuite>"])


def _case(report: Report, result: Result) -> str:
    message = quoteattr(printable(result.observed))
    match result.result:
        case "fail" | "error":
            tag = "failure" if result.result == "fail" else "error"
            text = escape("\n".join(_reasons(report, result)))
            return f"<{tag} message={message}>{text}</{tag}>"
        case "not-testable":
            return f"<skipped message={message}/>"
        case _:
            said = f"{result.result}: {result.observed}"
            return f"<system-out>{escape(printable(said))}</system-out>"


def as_tap(report: Report) -> str:
    """A report for the Test Anything Protocol, version 13."""
    lines = ["TAP version 13", f"1..{len(report.checks)}"]
    for number, each in enumerate(report.checks, 1):
        word = "not ok" if each.result in {"fail", "error"} else "ok"
        # `#` begins a directive.
        said = printable(f"{each.id} {each.rule}").replace("#", "")
        skipped = " # SKIP not testable" if each.result == "not-testable" else ""
        lines.append(f"{word} {number} - {said}{skipped}")
        if each.result != "pass":
            lines += [f"# {line}" for line in _reasons(report, each)]
    return "\n".join(lines)


def _reasons(report: Report, result: Result) -> Iterator[str]:
    yield f"{result.result}: {printable(result.observed)}"
    if result.expected:
        yield f"expected: {printable(result.expected)}"
    if result.section:
        yield f"rule: {result.section} {link_of(result.section) or ''}".strip()
    yield f"repeat: {printable(report.repeat(result.id))}"
