"""What rooms may take of the store, for what other servers send."""

import pytest

from homeserver.protocol.rooms.receipt import Outcome
from tests.support.coroutines import result_of
from tests.support.our_rooms import text
from tests.support.room_pair import Pair
from tests.support.room_side import RoomSide


def fill(side: RoomSide) -> None:
    """Let the rooms take as much as they may."""
    taken = result_of(side.ours.store.length())
    assert taken > 0
    side.ours.rooms._max_bytes = taken


def test_transactions() -> None:
    """Events of a room are rejected with the reason; what we send is stored."""
    pair = Pair("10")
    fill(pair.side)
    event = pair.send()
    reply = pair.transact(event)
    assert "max_megabytes" in reply[event.event_id]["error"]
    assert event.event_id not in pair.ours.entries
    pair.side.ours.rooms._max_bytes = None
    assert pair.transact(event) == {event.event_id: {}}
    assert pair.ours.entries[event.event_id].outcome is Outcome.ACCEPTED


def test_fetched_events() -> None:
    """What is missing before an event is not stored either."""
    pair = Pair("10")
    for _ in range(110):
        pair.send("m.room.topic", {"topic": "T"}, "")
    last = pair.send()
    room, before = pair.ours, len(pair.ours.entries)
    # The event itself passes: the limit is reached while its past is fetched.
    looks = iter([True])

    async def length() -> int:
        return 0 if next(looks, False) else 2

    pair.side.ours.rooms._max_bytes = 1
    pair.side.ours.rooms.store.length = length  # type: ignore[method-assign]
    assert "error" in pair.transact(last)[last.event_id]
    assert len(room.entries) == before


@pytest.mark.parametrize("membership", ["join", "leave"])
def test_memberships(membership: str) -> None:
    """A join is answered with 503, so that the server asks another one."""
    side = RoomSide()
    room = side.ours.create("10", preset="public_chat")
    if membership == "leave":
        side.join(room)
    event = side.membership(room, membership)
    fill(side)
    answer = side.send(membership, event)
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert event.event_id not in side.known(room).entries
    sent = side.ours.send(room, "m.room.message", text("ours"))
    assert sent.entry.outcome is Outcome.ACCEPTED
