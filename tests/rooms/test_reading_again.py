"""A room that another process has changed: what is read of it, and what comes of it."""

from collections.abc import Awaitable, Callable
from copy import deepcopy

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.author import Given
from homeserver.rooms.entry import Entry
from homeserver.rooms.reading import ReadEvent
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.notifier import Changes
from homeserver.storage.room_rows import StoredEvent
from homeserver.storage.stored_rooms import Had
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB, NOW, OurRooms, same, text
from tests.support.tables import cases

Step = Callable[["Both"], object]


class Both:
    """A room, and two processes that share its store."""

    def __init__(self) -> None:
        self.ours = OurRooms(is_shared=True)
        self.theirs = OurRooms(self.ours.database, is_shared=True)
        self.room = self.ours.create()
        self.first = self.say()
        self.others: list[Event] = []
        """Events that are made, and no part of the room."""

        self.redactions: list[Event] = []

    def say(self, body: str = "x", after: Event | None = None) -> Event:
        """A message at the end of the room, or elsewhere."""
        given = Given() if after is None else Given(prev_events=[after.event_id])
        sent = self.ours.send(self.room, "m.room.message", text(body), given=given)
        return sent.event

    def set_topic(self, topic: str, after: Event | None = None) -> Event:
        """A topic at the end of the room, or elsewhere."""
        given = Given() if after is None else Given(prev_events=[after.event_id])
        content: dict[str, object] = {"topic": topic}
        return self.ours.send(self.room, "m.room.topic", content, "", given).event

    def redact(self, event_id: str) -> None:
        """Redact an event of the room, or an unknown one."""
        content: dict[str, object] = {"redacts": event_id}
        sent = self.ours.send(self.room, "m.room.redaction", content)
        self.redactions.append(sent.event)

    def make(self, kind: str = "m.room.topic", key: str | None = "") -> Event:
        """An event that is not taken in."""
        room = result_of(self.ours.rooms.known(self.room.room_id))
        new = NewEvent(kind, ALICE, {"topic": "y", "body": "y"}, key)
        self.others.append(result_of(self.ours.author.make(room, new)))
        return self.others[-1]

    def change(self, work: Callable[[Turn], Awaitable[Entry]]) -> None:
        """Change the room."""
        result_of(self.ours.rooms.change(self.room.room_id, work))

    def know(self, event: Event) -> None:
        """Enter an event as an outlier."""
        self.change(lambda turn: turn.know(event))

    def take(self, event: Event) -> None:
        """Take an event in."""
        self.change(lambda turn: turn.take(event))

    def read(self) -> Room:
        """The room, as the other process finds it."""
        return result_of(self.theirs.rooms.known(self.room.room_id))


def forbid(both: Both) -> Event:
    """Have an event of a user that is not in the room rejected."""
    room = result_of(both.ours.rooms.known(both.room.room_id))
    given = Given(is_checked=False)
    new = NewEvent("m.room.topic", BOB, {"topic": "z"}, "")
    event = result_of(both.ours.author.make(room, new, given))
    both.take(event)
    return event


def fork(both: Both) -> None:
    """Have two ends with different states."""
    both.set_topic("one", both.first)
    both.set_topic("two", both.first)


CHANGES = [
    ("a message", [], [lambda b: b.say()]),
    ("many states", [], [lambda b: [b.set_topic(str(n)) for n in range(40)]]),
    ("a fork", [], [fork]),
    ("a fork that is merged", [fork], [lambda b: b.say()]),
    ("a rejected event", [], [forbid]),
    ("what comes after a rejected event", [forbid], [lambda b: b.say()]),
    ("a redaction", [], [lambda b: b.redact(b.first.event_id)]),
    (
        "a redaction of an event that came at once with it",
        [],
        [lambda b: b.redact(b.say().event_id)],
    ),
    ("a redaction that waits", [], [lambda b: b.redact("$" + "a" * 43)]),
    (
        "one more redaction that waits",
        [lambda b: b.redact("$" + "a" * 43)],
        [lambda b: b.redact("$" + "a" * 43), lambda b: b.redact("$" + "b" * 43)],
    ),
    (
        "a redaction that waits, and is redacted",
        [lambda b: b.redact("$" + "a" * 43)],
        [lambda b: b.redact(b.redactions[0].event_id)],
    ),
    (
        "an event that a redaction has waited for",
        [
            lambda b: b.make("m.room.message", None),
            lambda b: b.redact(b.others[0].event_id),
        ],
        [lambda b: b.take(b.others[0])],
    ),
    ("an outlier", [lambda b: b.make()], [lambda b: b.know(b.others[0])]),
    (
        "an outlier that is judged",
        [lambda b: b.make(), lambda b: b.know(b.others[0]), lambda b: b.say()],
        [lambda b: b.take(b.others[0])],
    ),
    (
        "an outlier that is judged with what comes after it",
        [lambda b: b.make(), lambda b: b.know(b.others[0])],
        [lambda b: b.take(b.others[0]), lambda b: b.say(), lambda b: b.set_topic("t")],
    ),
]


@cases("before after", CHANGES)
def test_changed(before: list[Step], after: list[Step]) -> None:
    """A room that was read before is as one that is read anew, and the first as it was.

    Each step is read apart, and all at once by a third process.
    """
    both = Both()
    third = OurRooms(both.ours.database, is_shared=True)
    for step in before:
        step(both)
    earlier = both.read()
    result_of(third.rooms.known(both.room.room_id))
    entries, ends = dict(earlier.entries), earlier.extremities
    waiting = deepcopy(earlier.waiting_redactions)
    states = [dict(earlier.states.map(n)) for n in range(len(earlier.states))]
    for step in after:
        step(both)
        compare(both.read(), both)
    compare(result_of(third.rooms.known(both.room.room_id)), both)
    assert (earlier.entries, earlier.extremities) == (entries, ends)
    assert earlier.waiting_redactions == waiting
    assert [earlier.states.map(n) for n in range(len(earlier.states))] == states


def compare(room: Room, both: Both) -> None:
    """A room is as the store has it, and can be changed."""
    anew = both.ours.read(room.room_id)
    same(room, anew)
    assert list(room.entries) == list(anew.entries)
    assert room.events.keys() == anew.events.keys()
    assert room.revision == anew.revision
    assert room.residents == anew.residents
    assert set(room.graph.rejected) == set(anew.graph.rejected)
    assert room.waiting_redactions == anew.waiting_redactions
    assert room.states.unsaved() == []


def test_only_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a room that was read before, only what was written since is read."""
    both = Both()
    for _ in range(20):
        both.say()
    both.read()
    read: list[str] = []

    def count(row: StoredEvent) -> ReadEvent:
        read.append(row.event_id)
        return of(row)

    of = ReadEvent.of
    monkeypatch.setattr(ReadEvent, "of", count)
    said = both.say()
    both.read()
    assert read == [said.event_id]
    both.redact(both.first.event_id)
    both.read()
    assert read[1] == both.first.event_id
    assert len(read) == 3


def test_states_that_are_not_written() -> None:
    """What another process made of a number is not what this one has made of it."""
    both = Both()
    for kind in ("m.room.topic", "m.room.name", "m.room.avatar"):
        given = Given(prev_events=[both.first.event_id])
        both.ours.send(both.room, kind, {}, "", given)
    mine = both.read()
    # The state where two of the three ends meet is made, and not written.
    result_of(mine.number_before(sorted(mine.extremities)[:2]))
    assert mine.states.unsaved()
    both.set_topic("one")
    compare(both.read(), both)


def test_ends_beyond_a_rejected_event() -> None:
    """What a rejected event cites is no end after an event that cites that one."""
    both = Both()
    end = both.say()
    rejected = forbid(both)
    both.read()
    aside = both.say("aside", after=both.first)
    given = Given(prev_events=[rejected.event_id])
    new = NewEvent("m.room.message", ALICE, text("x"))
    sent = result_of(both.theirs.rooms.send(both.room.room_id, new, given)).event
    assert both.read().extremities == {aside.event_id, sent.event_id}
    assert end.event_id in both.read().entries


def test_what_is_cited_already() -> None:
    """An event that comes after one that cites it is no end."""
    both = Both()
    late = both.make()
    given = Given(prev_events=[late.event_id])
    new = NewEvent("m.room.message", ALICE, text("x"))
    later = result_of(both.ours.author.make(both.room, new, given))
    both.change(lambda turn: turn.place(later, turn.room.current, is_old=False))
    both.read()
    said = both.say()
    result_of(both.theirs.rooms.change(both.room.room_id, lambda t: t.take(late)))
    assert late.event_id in both.read().entries
    assert both.read().extremities == {said.event_id}


def test_a_change_in_the_way() -> None:
    """A room that could not be written is read whole again."""
    both = Both()
    mine = both.read()
    event = both.make()
    named = both.set_topic("first")

    async def take_late() -> Outcome:
        async with both.theirs.rooms.turn(both.room.room_id) as turn:
            entry = await turn.take(event)
            both.set_topic("second")
        return entry.outcome

    with pytest.raises(Exception, match="another worker has changed"):
        result_of(take_late())
    assert event.event_id not in mine.entries
    found = both.read()
    assert named.event_id in found.entries
    assert event.event_id not in found.entries
    compare(found, both)


def test_joined_again() -> None:
    """A room that was forgotten and is known again is read whole."""
    both = Both()
    room_id, version = both.room.room_id, both.room.room_version
    create = both.room.events[next(iter(both.room.entries))]
    had = both.read()
    result_of(both.ours.rooms.forget(room_id))
    later = OurRooms(both.ours.database, is_shared=True)
    later.rooms.store = RoomStore(
        both.ours.database,
        OUR_NAME,
        lambda _: int(NOW * 1000) + 1,
        Changes(later.clock),
        is_shared=True,
    )

    async def begin() -> None:
        async with later.rooms.begin(room_id, version) as turn:
            await turn.take(create)

    result_of(begin())
    found = both.read()
    assert found.revision > had.revision
    assert list(found.entries) == [create.event_id]
    compare(found, both)


@cases(
    "revision leads",
    [
        ("the same", 5 * 2**20 + 3, True),
        ("a later one", 5 * 2**20 + 4, True),
        ("an earlier one", 5 * 2**20 + 2, False),
        ("one of another life", 6 * 2**20 + 4, False),
    ],
)
def test_what_leads(revision: int, *, leads: bool) -> None:
    """What was read leads to a later revision, unless the room was forgotten."""
    assert Had(5 * 2**20 + 3, 1, 1).leads_to(revision) is leads
