"""The events of a room's graph, as rows of a drawing: as SVG, or for Graphviz.

Rules: peers' text is escaped: it is shown, and cannot become a part of the drawing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from homeserver.protocol.errors import printable
from homeserver.rooms.control_views import GraphEvent
from homeserver.rooms.drawing import Node, draw
from homeserver.rooms.graph_order import oldest_first


def in_rows(events: Iterable[GraphEvent]) -> list[GraphEvent]:
    """Events, each after those of its `prev_events` that are among them.

    History that was fetched later stands before what it leads to.
    """
    known = {each.event_id: each for each in events}
    return oldest_first(known, lambda event: event.prev_events)


def node_of(event: GraphEvent) -> Node:
    """The row of an event."""
    text = f"{event.event_id[:9]} {event.type}"
    if event.state_key is not None:
        text += f" {event.state_key!r}"
    if event.verdict != "accepted":
        text += f": {event.reason}"
    return Node(event.event_id, text, event.prev_events, event.verdict)


def draw_for_graphviz(nodes: Sequence[Node]) -> str:
    """Draw events in the language DOT, each with an edge to those before it."""
    lines = ["digraph room {"]
    for node in nodes:
        name = _quoted(node.event_id)
        lines.append(f"  {name} [label={_quoted(node.text)}];")
        lines += (f"  {name} -> {_quoted(each)};" for each in node.prev)
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    """A text in a drawing: a quoted string that it cannot end."""
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


DRAWN: Mapping[str, Callable[[Sequence[Node]], str]] = {
    "dot": draw_for_graphviz,
    "svg": draw,
}
"""What draws events, by the name of the format."""
