"""The rooms of the page in a real browser: the graph, an event, and peers' text."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.testing import Lab
from tests.support.browser_tab import Tab
from tests.support.chromium import PROGRAM, Browser
from tests.support.contrast import CONTRAST

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="chromium is not installed (Debian: apt install chromium)"
)

HOSTILE = "<script>document.title='owned'</script>abc\u202egpj.exe\u2066x\u2069\u200b"


@pytest.fixture
def tab(lab: Lab) -> Iterator[Tab]:
    """The page of the lab; nothing complained at last."""
    with Browser() as browser:
        opened = browser.open(f"{lab.control}/#token={lab.link.token}")
        opened.wait_for_text("#status", "live")
        yield opened
        assert opened.complaints == []


class Room:
    """A room of a server of the lab, with a fork that has been merged."""

    def __init__(self, lab: Lab) -> None:
        self.server = lab.server().name
        self._lab = lab
        made = self._call("POST", content={"name": HOSTILE, "topic": "first"})
        self.id: str = made["room_id"]
        self.last = made["extremities"]
        forks = [self.send("m.room.topic", topic, self.last) for topic in "ab"]
        self.left, self.right = (each["event_id"] for each in forks)
        self.merged = self.send("m.room.message", "merged")["event_id"]

    def _call(self, method: str, *steps: str, content: Any = None) -> Any:
        path = ["v1", "servers", self.server, "rooms", *steps]
        return self._lab.link.call(method, *path, content=content)

    def send(
        self,
        kind: str,
        topic: str,
        prev: list[str] | None = None,
        ts: int | None = None,
    ) -> Any:
        """Make an event, after the ends of the room or after some events.

        `ts` is when it claims to be sent, in milliseconds.
        """
        content: dict[str, Any] = {"type": kind, "content": {"topic": topic}}
        if ts is not None:
            content["origin_server_ts"] = ts
        if kind == "m.room.topic":
            content["state_key"] = ""
        if prev is not None:
            content["prev_events"] = prev
        return self._call("POST", self.id, "events", content=content)


def test_a_room_is_a_graph_that_can_be_clicked(tab: Tab, lab: Lab) -> None:
    """A fork has two lanes; an event opens with its JSON and the state after it."""
    room = Room(lab)
    tab.click("nav a", "Rooms")
    tab.wait_for_text("[aria-label='Our server']", room.server)
    tab.choose("[aria-label='Our server']", room.server)
    tab.click(".list a", room.id)
    tab.wait_for_text(".panel h2", room.id)
    rows = tab.evaluate(
        "[...document.querySelectorAll('.graph li button')].map((each) => each.title)"
    )
    assert rows[-3:] == [room.left, room.right, room.merged]
    lanes = tab.evaluate(
        """[...document.querySelectorAll(".graph .event")]
          .map((each) => each.getAttribute("transform").match(/\\((\\d+)/)[1])"""
    )
    assert lanes[-3] != lanes[-2]
    edges = tab.evaluate("document.querySelectorAll('.graph .edge').length")
    assert edges == len(rows)  # the first event has none, and the merge has two
    assert "(an end)" in tab.text(".graph li:last-child")

    tab.click(".graph li:last-child button")
    tab.wait_for_text(".event-detail pre", '"m.room.message"')
    tab.wait_for_text(".event-detail dl", "accepted")
    tab.click(".event-detail button", "Show the state after it")
    tab.wait_for_text(".event-detail table", "m.room.topic")

    room.send("m.room.message", "later")
    tab.click("button", "Refresh")
    tab.wait_for(f"document.querySelectorAll('.graph li').length === {len(rows) + 1}")


def test_a_time_that_is_no_date(tab: Tab, lab: Lab) -> None:
    """An event of a time that no calendar has is shown with its number."""
    room, late = Room(lab), 2**53 - 1
    room.send("m.room.message", "late", ts=late)
    tab.evaluate(f"location.hash = '#/rooms/{room.server}/' + {room.id!r}")
    tab.wait_for_text(".graph li:last-child", str(late))
    tab.click(".graph li:last-child button")
    tab.wait_for_text(".event-detail dl", str(late))


def test_the_text_of_a_room_does_nothing(tab: Tab, lab: Lab) -> None:
    """Markup and marks of direction in a room's state are shown as text."""
    room = Room(lab)
    tab.evaluate(f"location.hash = '#/rooms/{room.server}/' + {room.id!r}")
    tab.click(".graph li:last-child button")
    tab.click(".event-detail button", "Show the state after it")
    tab.wait_for_text(".event-detail table", "<script>")
    shown = tab.evaluate("document.querySelector('main').textContent")
    assert not any(odd in shown for odd in "\u202e\u2066\u2069\u200b")
    assert tab.evaluate("document.querySelectorAll('main script').length") == 0
    assert tab.evaluate("document.title") != "owned"


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits(tab: Tab, lab: Lab, width: int, scheme: str) -> None:
    """It is not wider than the window, in both themes, and text has its contrast."""
    room = Room(lab)
    tab.prefer(scheme)
    tab.resize(width, 800)
    tab.evaluate(f"location.hash = '#/rooms/{room.server}/' + {room.id!r}")
    tab.click(".graph li:last-child button")
    tab.wait_for("document.querySelector('.event-detail pre') !== null")
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert tab.evaluate(CONTRAST) == []
