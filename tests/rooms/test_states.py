"""The states of a room as differences, and rooms that are judged event by event."""

from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.history import History
from homeserver.protocol.rooms.state import StateKey, users_with
from homeserver.rooms.reading import ReadEvent, read_room
from homeserver.rooms.room import Room
from homeserver.rooms.states import EMPTY, RoomStates
from homeserver.storage import stored_rooms
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.engine.sqlite import SqliteFile
from homeserver.storage.room_rows import StoredEvent
from tests.protocol.rooms.made_rooms import ALICE, MadeRoom
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom
from tests.support.coroutines import result_of
from tests.support.our_rooms import OurRooms, same
from tests.support.state_ids import ids


def received(random: RandomRoom, ours: OurRooms) -> tuple[History, Room]:
    """A random room as the pure history has it, and as a server's room."""
    history = History(random.version)
    events = list(random.events.values())
    [create] = [each for each in events if each.type == "m.room.create"][:1]

    async def receive() -> Room:
        async with ours.rooms.begin(create.room_id, random.version) as turn:
            for event in events:
                try:
                    judged = history.receive(event)
                except UnknownAuthEvent:
                    with pytest.raises(UnknownAuthEvent):
                        await turn.take(event)
                    continue
                entry = await turn.take(event)
                assert entry.outcome is judged.receipt.outcome
                assert entry.check == judged.receipt.check
                assert entry.rule == judged.receipt.verdict.rule
                before = turn.room.state_before(event.event_id)
                if judged.before is None:
                    assert before is None
                else:
                    assert before is not None
                    assert ids(before) == ids(judged.before)
                assert turn.room.extremities == history.extremities
                assert ids(turn.room.current) == ids(history.current)
            return turn.room

    return history, result_of(receive())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(4))
def test_as_the_pure_history(version: str, seed: int) -> None:
    """Random rooms with forks go as they go without deltas and without a store."""
    random = RandomRoom(seed, version, 60)
    ours = OurRooms()
    history, room = received(random, ours)
    again = ours.read(room.room_id)
    for judged in history.judged.values():
        entry = again.entries[judged.event.event_id]
        assert entry.outcome is judged.receipt.outcome
        before = again.state_before(entry.event_id)
        assert (before is None) == (judged.before is None)
        if before is not None and judged.before is not None:
            assert ids(before) == ids(judged.before)
    assert again.extremities == history.extremities
    assert ids(again.current) == ids(history.current)


@pytest.mark.parametrize("version", ["6", "12"])
def test_joined_users_in_the_store(version: str) -> None:
    """After each change they are those of the current state, whatever led to it."""
    random = RandomRoom(0, version, 120)
    events = [*random.events.values()]
    ours = OurRooms()
    [create] = [each for each in events if each.type == "m.room.create"][:1]

    async def receive() -> list[int]:
        async with ours.rooms.begin(create.room_id, random.version) as turn:
            await turn.take(create)
        counts = []
        for event in events:
            with suppress(UnknownAuthEvent):
                await ours.rooms.change(create.room_id, lambda x, e=event: x.take(e))  # type: ignore[misc]
            room = await ours.rooms.known(create.room_id)
            joined = {x.user_id for x in users_with(room.current, {"join"})}
            assert await ours.database.read(stored) == joined
            counts.append(len(joined))
        return counts

    def stored(cursor: Cursor) -> set[str]:
        rows = cursor.execute("SELECT user_id FROM room_members").fetchall()
        return {user_id for [user_id] in rows}

    counts = result_of(receive())
    assert max(counts) > 2
    assert any(after < before for before, after in pairwise(counts))


def test_differences() -> None:
    """A thousand states of a thousand members take some thousands of entries."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    number = EMPTY
    expected: dict[int, dict[StateKey, EventId]] = {}
    state: dict[StateKey, EventId] = {}
    for event in [made.create, made.join]:
        number = states.after(number, event)
    for each in range(1000):
        event = made.send(
            "m.room.member",
            f"@u{each}:a.example",
            {"membership": "join"},
            f"@u{each}:a.example",
            cites=[made.join],
        )
        number = states.after(number, event)
        state["m.room.member", f"@u{each}:a.example"] = event.event_id
        expected[number] = dict(state)
    kept = sum(len(each.changes) for each in states.unsaved())
    assert kept < 5000
    again = RoomStates(made.events, states.unsaved())
    for at in list(expected)[::97]:
        found = ids(again.map(at))
        assert {k: v for k, v in found.items() if k in expected[at]} == expected[at]
        assert len(found) == len(expected[at]) + 2
    assert ("m.room.member", ALICE) in again.map(number)


@pytest.mark.parametrize(("others", "is_kept"), [(5, True), (6, False)])
def test_few_maps_are_kept(others: int, *, is_kept: bool) -> None:
    """The state that was asked for last stays whole in memory, and few others do."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    numbers = [states.after(states.after(EMPTY, made.create), made.join)]
    for topic in range(7):
        content: Json = {"topic": str(topic)}
        event = made.send("m.room.topic", ALICE, content, "", cites=[made.join])
        numbers.append(states.after(numbers[-1], event))
    first = states.map(numbers[0])
    for number in numbers[1 : 1 + others]:
        states.map(number)
    again = states.map(numbers[0])
    assert ids(again) == ids(first)
    assert (again is first) is is_kept


def test_where_a_whole_state_is_noted() -> None:
    """A short state is whole again after 32 differences, and never before."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    number = EMPTY
    for event in [made.create, made.join]:
        number = states.after(number, event)
    for topic in range(68):
        content: Json = {"topic": str(topic)}
        event = made.send("m.room.topic", ALICE, content, "", cites=[made.join])
        number = states.after(number, event)
    noted = states.unsaved()
    assert [each.number for each in noted if each.base is None] == [0, 33, 66]
    assert [len(noted[at].changes) for at in (33, 66)] == [3, 3]
    again = RoomStates(made.events, noted)
    assert again.after(number, made.send("m.x", ALICE, {}, "", cites=[made.join])) == 71
    assert again.unsaved()[-1].base == 70


def test_a_large_difference_is_a_whole_state() -> None:
    """What differs in more than it has is no difference from another state."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    number = EMPTY
    for event in [made.create, made.join]:
        number = states.after(number, event)
    large = dict(states.map(number))
    for each in range(40):
        kind = f"m.x{each}"
        large[kind, ""] = made.send(kind, ALICE, {}, "", cites=[made.join])
    large_number = states.add(large, number)
    assert states.unsaved()[-1].base == number
    small = dict(states.map(number))
    assert states.add(small, large_number) == large_number + 1
    [*_, noted] = states.unsaved()
    assert (noted.base, len(noted.changes)) == (None, 2)


def test_added() -> None:
    """A state from elsewhere is noted as it differs, also in what it lacks."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    number = states.after(states.after(EMPTY, made.create), made.join)
    whole = dict(states.map(number))
    assert states.add(whole, number) == number
    whole.pop(("m.room.member", ALICE))
    less = states.add(whole, number)
    assert ids(states.map(less)) == ids(whole)
    again = RoomStates(made.events, states.unsaved())
    assert ids(again.map(less)) == ids(whole)
    message = made.send("m.room.message", ALICE, {}, None, cites=[made.join])
    assert states.after(number, message) == number


def test_read_again() -> None:
    """Reading a room makes the same room, messages without their content."""
    ours = OurRooms()
    room = ours.create()
    sent = [ours.send(room, "m.room.message", {"body": "x"}) for _ in range(3)]
    stored = result_of(ours.store.room(room.room_id, ReadEvent.of))
    assert stored is not None
    reading = read_room(room.room_id, stored, ours.store, Pace(ours.clock))
    again = result_of(reading)
    messages = [x for x in again.events.values() if x.type == "m.room.message"]
    assert [each.event_id for each in messages] == [sent[-1].event.event_id]
    assert again.events.keys() == room.events.keys()


@pytest.mark.parametrize("length", [1, 2, 5, 9, 10, 11])
def test_read_in_parts(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room is whole, in however many parts its events are read."""
    ours = OurRooms()
    room = ours.create()
    while len(room.entries) < 10:
        ours.send(room, "m.room.message", {"body": "x"})
    monkeypatch.setattr(stored_rooms, "_SLICE", length)
    same(room, ours.read(room.room_id))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[OurRooms, OurRooms]]:
    """Two processes on one store."""
    file = SqliteFile(tmp_path / "store.db")
    with closing(file.connect()) as first, closing(file.connect()) as second:
        yield OurRooms(ImmediateDatabase(first)), OurRooms(ImmediateDatabase(second))


def test_read_while_it_changes(
    two: tuple[OurRooms, OurRooms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process writes while a room is read is no part of what is read."""
    ours, others = two
    room = ours.create()
    again = result_of(others.rooms.known(room.room_id))
    before = len(again.entries)
    monkeypatch.setattr(stored_rooms, "_SLICE", 1)

    def read(row: StoredEvent) -> ReadEvent:
        if len(room.entries) < 4 * before:  # lest it is read for ever
            ours.send(room, "m.room.topic", {"topic": str(row.position)}, "")
        return ReadEvent.of(row)

    stored = result_of(others.store.room(room.room_id, read))
    assert stored is not None
    assert len(stored.events) == before
    assert stored.revision == again.revision
    assert len(stored.states) == len(again.states)
    later = result_of(others.store.room(room.room_id, ReadEvent.of))
    assert later is not None
    assert len(later.events) == 2 * before


def test_texts_leave_memory() -> None:
    """Of messages that are read no text is kept, but for redactions."""
    ours = OurRooms()
    room = ours.create()
    sent = ours.send(room, "m.room.message", {"body": "x"})
    ours.send(room, "m.room.redaction", {"redacts": sent.event.event_id})
    stored = result_of(ours.store.room(room.room_id, ReadEvent.of))
    assert stored is not None
    kept = {x.entry.type for x in stored.events if x.text is not None}
    assert kept == {x.entry.type for x in stored.events} - {"m.room.message"}
    assert "m.room.redaction" in kept


class CountingPace(Pace):
    """Counts the pauses that work offers."""

    count = 0

    async def pause(self) -> None:
        """Count one."""
        self.count += 1


def test_read_in_slices() -> None:
    """Reading a room offers a pause before each event."""
    ours = OurRooms()
    room = ours.create()
    stored = result_of(ours.store.room(room.room_id, ReadEvent.of))
    assert stored is not None
    pace = CountingPace(ours.clock)
    result_of(read_room(room.room_id, stored, ours.store, pace))
    assert pace.count >= len(stored.events) > 4
