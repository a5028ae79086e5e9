"""A drawing of a room's events, as SVG: a row for each, and edges to earlier ones.

Rules: the oldest event is at the top. Branches run side by side in lanes, as in the
graph of a version control system. Peers' text is escaped: it is shown, and cannot
become a part of the drawing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from xml.sax.saxutils import escape

from homeserver.protocol.errors import printable

_ROW = 28  # pixels from one event to the next
_LANE = 24  # and from one branch to the next
_TOP = 64  # below the legend
_CHARACTER = 7.5  # of the text, which is not measured: a generous width

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    'viewBox="0 0 {width} {height}">'
)
_STYLE = (
    "text{font:12px monospace;fill:#222}"
    "line,path{stroke:#888;stroke-width:1.5;fill:none}"
    "circle{stroke:#222;stroke-width:1.5}"
    ".accepted{fill:#2a9d4a}.soft-failed{fill:#f2c14e}.rejected{fill:#d64545}"
    ".outlier{fill:#fff;stroke-dasharray:2 2}.not-judged{fill:#bbb}"
    ".chosen{fill:none;stroke:#1f6feb;stroke-width:3}"
    "text.accepted{fill:#1a6b30}text.rejected{fill:#a11}text.soft-failed{fill:#8a6100}"
    "text.outlier,text.not-judged{fill:#555;stroke:none}"
)


MARKS = ("accepted", "soft-failed", "rejected", "outlier", "not-judged")
"""What became of an event, as its circle shows it."""


@dataclass(frozen=True, slots=True)
class Node:
    """An event of the drawing."""

    event_id: str
    text: str
    prev: Sequence[str]
    """The events that it comes after; those that are not drawn are left out."""

    mark: str
    """One of `MARKS`."""

    is_chosen: bool = False


def draw(nodes: Sequence[Node]) -> str:
    """Draw events, each of which stands after those that it comes after."""
    earlier = _earlier(nodes)
    lanes = _lanes(earlier)
    margin = _LANE * (max(lanes, default=0) + 2)
    longest = max((len(printable(node.text)) for node in nodes), default=0)
    width = max(600, margin + int(longest * _CHARACTER) + _LANE)
    height = _TOP + _ROW * len(nodes)
    return "\n".join(
        [
            _SVG.format(width=width, height=height),
            f"<style>{_STYLE}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *_legend(),
            *_edges(earlier, lanes),
            *(
                _event(node, *_place(row, lane), margin)
                for row, (node, lane) in enumerate(zip(nodes, lanes, strict=True))
            ),
            "</svg>",
            "",
        ]
    )


def _place(row: int, lane: int) -> tuple[int, int]:
    return _LANE * (lane + 1), _TOP + _ROW * row


def _earlier(nodes: Sequence[Node]) -> list[list[int]]:
    """The rows of the events that each event comes after, as far as they are drawn."""
    rows = {node.event_id: row for row, node in enumerate(nodes)}
    return [
        sorted({rows[each] for each in node.prev if rows.get(each, row) < row})
        for row, node in enumerate(nodes)
    ]


def _lanes(earlier: Sequence[Sequence[int]]) -> list[int]:
    """The lane of each event: that of one that it comes after, or a free one.

    An event that leads on keeps the lane. One that does not makes room for the next
    one that comes after the same event.
    """
    to_come = Counter(prev for each in earlier for prev in each)
    ends: dict[int, int] = {}  # {lane: the row at its end, to which others lead back}
    last_row: dict[int, int] = {}
    lanes: list[int] = []
    for row, prev in enumerate(earlier):
        to_come.subtract(prev)
        leads_on = to_come[row] > 0
        own = [lane for lane, end in ends.items() if end in prev]
        own = [lane for lane in own if leads_on or not to_come[ends[lane]]]
        # Where a lane went on with another event, the edge takes our own lane instead.
        forks = [each for each in prev if last_row[lanes[each]] > each]
        lane = min(own) if own else _free_lane(ends, last_row, min(forks, default=row))
        lanes.append(lane)
        last_row[lane] = row
        ends[lane] = row
        ends = {lane: end for lane, end in ends.items() if to_come[end]}
    return lanes


def _free_lane(ends: Mapping[int, int], last_row: Mapping[int, int], row: int) -> int:
    """The first lane that is free since that row, so that edges cross no event."""
    free = (x for x in count() if x not in ends and last_row.get(x, -1) <= row)
    return next(free)


def _legend() -> list[str]:
    lines = []
    for number, mark in enumerate(MARKS):
        x = _LANE + 112 * number
        lines.append(f'<circle class="{mark}" cx="{x}" cy="24" r="6"/>')
        lines.append(f'<text x="{x + 12}" y="28">{mark}</text>')
    return lines


def _edges(earlier: Sequence[Sequence[int]], lanes: Sequence[int]) -> list[str]:
    lines = []
    for row, prev in enumerate(earlier):
        x, y = _place(row, lanes[row])
        for start in prev:
            from_x, from_y = _place(start, lanes[start])
            if lanes[start] in lanes[start + 1 : row]:
                # A fork: its lane goes on with another event.
                path = f"L{x} {from_y + _ROW}V{y}"
            else:
                path = f"V{y - _ROW}L{x} {y}"
            lines.append(f'<path d="M{from_x} {from_y}{path}"/>')
    return lines


def _event(node: Node, x: int, y: int, margin: int) -> str:
    text = escape(printable(node.text))
    title = escape(printable(node.event_id))
    ring = (
        f'<circle class="chosen" cx="{x}" cy="{y}" r="10"/>' if node.is_chosen else ""
    )
    return (
        f"<g><title>{title}</title>"
        f'<circle class="{node.mark}" cx="{x}" cy="{y}" r="6"/>{ring}'
        f'<text class="{node.mark}" x="{margin}" y="{y + 4}">{text}</text></g>'
    )
