"""Turns of a room: one change at a time, also of several processes.

Rules: what fails leaves the room as the store has it; who has read an older room reads
it again.
"""

import pytest

from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.turn import Turn
from homeserver.storage.room_rows import RoomChanged
from tests.support.coroutines import result_of
from tests.support.our_names import OTHER_NAME
from tests.support.our_rooms import ALICE, OurRooms, text
from tests.support.room_side import changed
from tests.support.signed_requests import US, Peer, signing_key


def test_written_or_not() -> None:
    """A turn that fails leaves the room as the store has it."""
    ours = OurRooms()
    room = ours.create()
    before = dict(room.entries)

    async def fail() -> None:
        async with ours.rooms.turn(room.room_id) as turn:
            new = NewEvent("m.room.message", ALICE, text("x"))
            await turn.take(await ours.author.make(turn.room, new))
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        result_of(fail())
    assert room.is_stale
    again = result_of(ours.rooms.known(room.room_id))
    assert again.entries == before
    ours.send(again, "m.room.message", text("y"))


def test_begun_in_vain() -> None:
    """A room that was left and is joined in vain stays as the store has it."""
    ours = OurRooms()
    room = ours.create()
    before = room.extremities
    new = NewEvent("m.room.message", ALICE, text("x"))
    event = result_of(ours.author.make(room, new))
    lost = changed(event, Peer(US, signing_key()), auth_events=["$" + "a" * 43])

    async def begin() -> None:
        async with ours.rooms.turn(room.room_id) as turn:
            await turn.begin(lost, turn.room.current)

    with pytest.raises(UnknownAuthEvent):
        result_of(begin())
    assert result_of(ours.rooms.known(room.room_id)).extremities == before


def test_two_processes() -> None:
    """Of two processes, the one that has read an older room reads it again."""
    ours = OurRooms(is_shared=True)
    theirs = OurRooms(ours.database, is_shared=True)
    room = ours.create()
    theirs.send(room, "m.room.message", text("1"))
    sent = ours.send(room, "m.room.message", text("2"))
    again = result_of(ours.rooms.known(room.room_id))
    assert len(again.entries) == len(room.entries) + 2
    assert again.extremities == {sent.event.event_id}
    # Without a look at the store, the commit finds out.
    alone, other = OurRooms(ours.database), OurRooms(ours.database)
    result_of(alone.rooms.known(room.room_id))
    other.send(room, "m.room.message", text("3"))
    before = other.read(room.room_id).extremities
    sent = alone.send(room, "m.room.message", text("4"))
    assert set(sent.event.prev_event_ids) == before
    assert len(other.read(room.room_id).entries) == len(again.entries) + 2


def test_changed_again_and_again() -> None:
    """A change that others always come before is given up, and nothing is written."""
    ours = OurRooms()
    room = ours.create()
    attempts = []

    async def take(turn: Turn) -> None:
        attempts.append(turn.room)
        other = OurRooms(ours.database)
        new = NewEvent("m.room.message", ALICE, text(str(len(attempts))))
        await other.rooms.send(room.room_id, new)
        await ours.rooms.enter(turn, await ours.author.make(turn.room, new))

    with pytest.raises(RoomChanged):
        result_of(ours.rooms.change(room.room_id, take))
    assert len({*map(id, attempts)}) == len(attempts) == 10
    assert len(ours.read(room.room_id).entries) == len(room.entries) - 1 + 10


def test_sent_once_more() -> None:
    """A turn that only queues something reads a room again that others changed."""
    ours = OurRooms()
    room = ours.create()
    sent = ours.send(room, "m.room.message", text("1"))
    attempts = []

    async def send(turn: Turn) -> None:
        attempts.append(turn.room)
        if len(attempts) == 1:
            new = NewEvent("m.room.message", ALICE, text("2"))
            await OurRooms(ours.database).rooms.send(room.room_id, new)
        turn.send(sent.event, [OTHER_NAME])

    result_of(ours.rooms.change(room.room_id, send))
    assert len(attempts) == 2
