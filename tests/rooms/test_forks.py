"""A room that forks and forks: its ends are bounded, and resolving them lets others go.

Specification: Server-server API, "PDUs", "Room State Resolution".
"""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.author import Given
from homeserver.rooms.ends import MAX_ENDS
from tests.support.coroutines import result_of
from tests.support.our_rooms import BOB, same, text
from tests.support.room_pair import ANN, Pair
from tests.support.state_ids import ids


def fork(pair: Pair, root: Event, number: int) -> Event:
    """A topic of theirs after an old event."""
    given = Given(prev_events=[root.event_id])
    return pair.send("m.room.topic", {"topic": str(number)}, "", given=given)


def say(pair: Pair, after: Event | None = None) -> Event:
    """A message of ours, at the end of the room or elsewhere."""
    given = Given() if after is None else Given(prev_events=[after.event_id])
    new = NewEvent("m.room.message", ANN, text("mine"))
    sent = pair.side.ours.rooms.send(pair.theirs.room_id, new, given)
    return result_of(sent).event


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_flood(version: str) -> None:
    """Each fork is accepted, and the room has a bounded number of ends."""
    pair = Pair(version)
    root = pair.send()
    pair.transact(root)
    mine = say(pair, root)
    forks = [fork(pair, root, number) for number in range(60)]
    for start in range(0, 60, 20):
        pair.transact(*forks[start : start + 20])
    room = pair.ours
    outcomes = {room.entries[each.event_id].outcome for each in forks}
    assert outcomes == {Outcome.ACCEPTED}
    # Those of the server that has most make place, the oldest first.
    newest = {each.event_id for each in forks[-MAX_ENDS + 1 :]}
    assert room.extremities == {*newest, mine.event_id}
    same(room, pair.side.ours.read(room.room_id))
    # One event of ours merges all that are left.
    end = say(pair)
    assert pair.ours.extremities == {end.event_id}
    assert len(end.prev_event_ids) == MAX_ENDS


def test_an_end_that_was_left_out() -> None:
    """Its state holds again before an event that cites it."""
    pair = Pair("10")
    root = pair.send()
    pair.transact(root)
    forks = [fork(pair, root, number) for number in range(MAX_ENDS + 1)]
    pair.transact(*forks)
    assert forks[0].event_id not in pair.ours.extremities
    given = Given(prev_events=[forks[0].event_id])
    last = pair.send(given=given)
    assert pair.transact(last) == {last.event_id: {}}
    before = pair.ours.state_before(last.event_id)
    assert before is not None
    assert before["m.room.topic", ""].event_id == forks[0].event_id


class _Ticking(Clock):
    """A clock on which each look at it takes a millisecond."""

    turns = 0
    """How often something was put off."""

    def seconds(self) -> float:
        """The time, later each time."""
        self.rightNow += 0.001
        return self.rightNow

    def callLater(self, *args: Any, **kwargs: Any) -> Any:
        """Put something off."""
        self.turns += 1
        return super().callLater(*args, **kwargs)


class Branches:
    """A room with two branches, each of so many invites."""

    def __init__(self, version: str, invites: int = 40) -> None:
        self.pair = Pair(version)
        root = self.pair.send()
        self.room = self.pair.theirs
        self.ends = [self._branch(root, f"{name}", invites) for name in "ab"]

    def _branch(self, last: Event, name: str, invites: int) -> Event:
        for number in range(invites):
            user = f"@{name}{number}:{BOB.server_name}"
            given = Given(prev_events=[last.event_id])
            content: Json = {"membership": "invite"}
            last = self.pair.send("m.room.member", content, user, given=given)
        return last


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_others_have_their_turn(version: str) -> None:
    """Resolving long branches pauses again and again."""
    branches = Branches(version)
    room = branches.room
    numbers = [room.number_after(each.event_id) for each in branches.ends]
    room.states._resolved.clear()
    clock = _Ticking()
    done: list[int] = []
    known = [each for each in numbers if each is not None]
    resolving = room.states.resolve(room.graph, known, Pace(clock))
    Deferred.fromCoroutine(resolving).addCallback(done.append)
    assert not done
    clock.advance(1)  # it goes on as long as something is put off
    assert ids(room.states.map(done[0])) == ids(room.current)
    assert clock.turns > 1


def test_cancelled() -> None:
    """An event that is cancelled while its room is resolved leaves no trace."""
    branches = Branches("10")
    pair, room = branches.pair, branches.room
    new = NewEvent("m.room.topic", BOB, {"topic": "T"}, "")
    given = Given(prev_events=[branches.ends[0].event_id])
    topic = result_of(pair.them.author.make(room, new, given))
    before = dict(room.entries), room.extremities, ids(room.current)
    clock = _Ticking()
    room.pace = Pace(clock)
    taking = Deferred.fromCoroutine(room.take(topic))
    taking.addErrback(lambda failure: failure.trap(CancelledError))
    assert topic.event_id in room.events
    taking.cancel()
    assert (dict(room.entries), room.extremities, ids(room.current)) == before
    assert topic.event_id not in room.events
    # It is taken in when it comes again.
    again = Deferred.fromCoroutine(room.take(topic))
    clock.advance(1)
    assert again.called
    assert topic.event_id in room.extremities


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_rejected_before_its_past_was_known(version: str) -> None:
    """What is known as rejected from an auth chain gets its state in the end."""
    pair = Pair(version)
    create = pair.theirs.current["m.room.create", ""].event_id
    given = Given(auth_events=[create], is_checked=False)
    bad = pair.send("m.room.topic", {"topic": "bad"}, "", given=given)
    root = pair.theirs.extremities
    last = pair.send(given=Given(prev_events=[*root, bad.event_id]))

    async def know() -> None:
        async with pair.side.ours.rooms.turn(pair.theirs.room_id) as turn:
            await turn.know(bad)

    result_of(know())
    known = pair.ours.entries[bad.event_id]
    assert (known.outcome, known.after) == (Outcome.REJECTED, None)
    assert pair.transact(last) == {last.event_id: {}}
    known = pair.ours.entries[bad.event_id]
    assert known.outcome is Outcome.REJECTED
    assert known.after is not None
    assert ids(pair.ours.current) == ids(pair.theirs.current)
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))
