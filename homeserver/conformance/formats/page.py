"""A report as one page of HTML: a summary by area, a filter, each check in full.

Rules: the page loads nothing, from nowhere. What a target sent is escaped, and no
script reads it.
"""

from collections.abc import Iterator
from html import escape

from msgspec import json

from homeserver.conformance.check import link_of
from homeserver.conformance.formats.text import summary
from homeserver.conformance.registry import title_of
from homeserver.conformance.result import VERDICTS, Report, Result
from homeserver.protocol.errors import printable

_MAX_EXCHANGE = 20_000  # characters of one exchange

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;
color:#1c1c1c;background:#fff}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right}
th:first-child,td:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}
details{border-bottom:1px solid #ddd;padding:.35em 0}summary{cursor:pointer}
pre{background:#f4f4f4;padding:.7em;overflow-x:auto;white-space:pre-wrap;
overflow-wrap:anywhere}
b{display:inline-block;min-width:7em}dt{font-weight:bold}dd{margin:0 0 .4em}
.fail b,.error b{color:#b00020}.warn b{color:#8a5a00}.pass b{color:#1b6e2e}
.info b{color:#1a4f8b}.not-testable b{color:#666}
label{margin-right:1.2em}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}
pre,tr:nth-child(even){background:#242424}details{border-color:#383838}a{color:#8ab4f8}
.fail b,.error b{color:#ff8a80}.warn b{color:#e5b455}.pass b{color:#7fcf8f}
.info b{color:#8ab4f8}.not-testable b{color:#999}}
"""


def as_html(report: Report) -> str:
    """The whole page."""
    title = escape(printable(f"{report.target} ({report.version})"))
    # A filter without a script: an unchecked box hides what follows it.
    hidden = "".join(
        f"#show-{each}:not(:checked)~section .{each}{{display:none}}"
        for each in VERDICTS
    )
    boxes = "".join(
        f'<input type="checkbox" id="show-{each}" checked>'
        f'<label for="show-{each}"> {each} ({report.counts[each]})</label>'
        for each in VERDICTS
        if report.counts[each]
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}{hidden}</style></head><body>",
            f"<h1>{title}</h1>",
            f"<p>{escape(summary(report))}; specification {escape(report.spec)}</p>",
            *_areas(report),
            boxes,
            *_sections(report),
            "</body></html>",
        ]
    )


def _areas(report: Report) -> Iterator[str]:
    heads = "".join(f"<th>{each}</th>" for each in VERDICTS)
    yield f"<table><tr><th>area</th>{heads}</tr>"
    for area, results in _by_area(report):
        cells = "".join(
            f"<td>{sum(e.result == verdict for e in results) or ''}</td>"
            for verdict in VERDICTS
        )
        title = escape(f"{area}: {title_of(area)}")
        yield f'<tr><td><a href="#{area}">{title}</a></td>{cells}</tr>'
    yield "</table>"


def _by_area(report: Report) -> Iterator[tuple[str, list[Result]]]:
    for area in dict.fromkeys(each.area for each in report.checks):
        yield area, [each for each in report.checks if each.area == area]


def _sections(report: Report) -> Iterator[str]:
    for area, results in _by_area(report):
        yield f'<section id="{area}"><h2>{escape(f"{area}: {title_of(area)}")}</h2>'
        for each in results:
            yield _check(report, each)
        yield "</section>"


def _check(report: Report, result: Result) -> str:
    link = link_of(result.section)
    section = escape(result.section)
    told = f'<a href="{escape(link)}">{section}</a>' if link else section
    members = [
        ("severity", escape(result.severity)),
        ("section", told),
        ("expected", escape(printable(result.expected))),
        ("observed", escape(printable(result.observed))),
        ("seconds", f"{result.seconds:g}"),
        ("repeat", f"<code>{escape(printable(report.repeat(result.id)))}</code>"),
    ]
    listed = "".join(f"<dt>{n}</dt><dd>{value}</dd>" for n, value in members if value)
    exchanges = "".join(_exchange(each) for each in result.exchange)
    return (
        f'<details class="{result.result}" id="{result.id}"><summary>'
        f"<b>{result.result}</b> {result.id} {escape(result.rule)}</summary>"
        f"<dl>{listed}</dl>{exchanges}</details>"
    )


def _exchange(exchange: object) -> str:
    text = json.format(json.encode(exchange), indent=2).decode("utf-8")
    cut = "..." if len(text) > _MAX_EXCHANGE else ""
    return f"<pre>{escape(text[:_MAX_EXCHANGE])}{cut}</pre>"
