"""The drawing of a room's events."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from homeserver.rooms.drawing import MARKS, Node, draw

_SVG = "{http://www.w3.org/2000/svg}"


def nodes(*edges: str) -> list[Node]:
    """Events by one letter each, with those that they come after: `c ab`."""
    return [Node(each[0], f"event {each[0]}", each[2:], "accepted") for each in edges]


def circles(svg: str) -> list[tuple[int, int]]:
    """Where the events are, as (lane, row)."""
    events = ElementTree.fromstring(svg).iter(f"{_SVG}g")
    found = []
    for each in events:
        circle = each.find(f"{_SVG}circle")
        assert circle is not None
        x, y = int(circle.attrib["cx"]), int(circle.attrib["cy"])
        found.append((x // 24 - 1, (y - 64) // 28))
    return found


def edges(svg: str) -> list[list[tuple[int, int]]]:
    """Each edge as the points of its path, as (lane, row)."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{_SVG}path"):
        points: list[tuple[int, int]] = []
        for command, numbers in re.findall(r"([MLV])([0-9 ]+)", path.attrib["d"]):
            *x, y = map(int, numbers.split())
            lane = x[0] // 24 - 1 if command != "V" else points[-1][0]
            points.append((lane, (y - 64) // 28))
        found.append(points)
    return found


LANES = [
    pytest.param([], [], id="nothing"),
    pytest.param(["a ", "b a", "c b"], [0, 0, 0], id="a chain"),
    pytest.param(["a ", "b a", "c a", "d bc"], [0, 0, 1, 0], id="fork and merge"),
    pytest.param(["a ", "b a", "c a", "d a"], [0, 1, 1, 0], id="ends make room"),
    pytest.param(["a ", "b ", "c ab"], [0, 1, 0], id="two beginnings"),
    pytest.param(["b a", "c b"], [0, 0], id="the first is not drawn"),
    pytest.param(
        ["a ", "b a", "c b", "d a", "e c", "f de"], [0, 0, 0, 1, 0, 0], id="a late fork"
    ),
    pytest.param(
        ["a ", "b a", "x ", "c b", "d a", "e cd"],
        [0, 0, 1, 0, 2, 0],
        id="a late fork passes an event",
    ),
]


@pytest.mark.parametrize(("drawn", "lanes"), LANES)
def test_lanes(drawn: list[str], lanes: list[int]) -> None:
    """Branches have lanes of their own, rows are in the order given."""
    assert circles(draw(nodes(*drawn))) == list(zip(lanes, range(9), strict=False))


@pytest.mark.parametrize("drawn", [each.values[0] for each in LANES])
def test_edges(drawn: list[str]) -> None:
    """Each leads from one event to the other, and through no third one."""
    svg = draw(nodes(*drawn))
    places = dict(zip([each[0] for each in drawn], circles(svg), strict=True))
    expected = {
        (places[prev], places[each[0]])
        for each in drawn
        for prev in each[2:]
        if prev in places
    }
    assert {(edge[0], edge[-1]) for edge in edges(svg)} == expected
    for edge in edges(svg):
        passed = {
            (lane, row)
            for (lane, top), (other, bottom) in pairwise(edge)
            if lane == other
            for row in range(top, bottom + 1)
        }
        assert passed & set(places.values()) <= {edge[0], edge[-1]}


@pytest.mark.parametrize("mark", MARKS)
def test_marks(mark: str) -> None:
    """What became of an event is the class of its circle and of its text."""
    svg = draw([Node("a", "text", [], mark)])
    [event] = ElementTree.fromstring(svg).iter(f"{_SVG}g")
    circle, text = event.find(f"{_SVG}circle"), event.find(f"{_SVG}text")
    assert circle is not None
    assert text is not None
    assert circle.attrib["class"] == text.attrib["class"] == mark
    assert re.search(rf"\.{mark}[{{,]", svg)


def test_legend() -> None:
    """It has each mark."""
    texts = [each.text for each in ElementTree.fromstring(draw([])).iter(f"{_SVG}text")]
    assert texts == list(MARKS)


def test_chosen() -> None:
    """The event in question has a ring."""
    drawn = [
        Node("a", "", [], "accepted"),
        Node("b", "", "a", "rejected", is_chosen=True),
    ]
    rings = [
        (each.attrib["cx"], each.attrib["cy"])
        for each in ElementTree.fromstring(draw(drawn)).iter(f"{_SVG}circle")
        if each.attrib["class"] == "chosen"
    ]
    assert rings == [("24", "92")]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "]]>&\"'", "\x00\x1b[2J", "\u202e right"]
)
def test_text_of_peers(text: str) -> None:
    """It is text, whatever stands in it, and shows no control characters."""
    drawn = [Node("a", "", [], "accepted"), Node(text, text, ["a", text], "accepted")]
    svg = draw(drawn)
    tree = ElementTree.fromstring(svg)
    assert {each.tag for each in tree.iter()} == {
        f"{_SVG}{tag}"
        for tag in ("svg", "style", "rect", "circle", "text", "g", "title", "path")
    }
    assert "".join(svg.split("\n")).isprintable()


def test_size() -> None:
    """The drawing is as high as it has rows, and wide enough for the longest text."""
    one = ElementTree.fromstring(draw(nodes("a ")))
    long = ElementTree.fromstring(draw([Node("a", "x" * 200, [], "accepted")]))
    two = ElementTree.fromstring(draw(nodes("a ", "b a")))
    assert int(two.attrib["height"]) == int(one.attrib["height"]) + 28
    assert int(long.attrib["width"]) > 200 * 7 > int(one.attrib["width"])
