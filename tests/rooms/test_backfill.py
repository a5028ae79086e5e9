"""History from before we came, fetched from a server that is in the room."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, as_list
from homeserver.protocol.errors import NoServerHelps, NotFound
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.author import Given
from homeserver.rooms.backfill import Backfill, Backfilled
from homeserver.rooms.candidates import Failure
from homeserver.rooms.checking import MAX_SIGNERS
from homeserver.rooms.source import MAX_STATE
from homeserver.rooms.turn import Turn
from homeserver.storage.room_rows import RoomChanged
from tests.support.coroutines import result_of
from tests.support.our_rooms import same, text
from tests.support.room_pair import EVE, Pair
from tests.support.room_side import changed
from tests.support.signed_requests import OTHERS, THEM, US
from tests.support.state_ids import ids


class Late(Pair):
    """A room that we join after something has happened in it."""

    def __init__(self, version: str, past: Callable[[Pair], object]) -> None:
        """`past` lets something happen."""
        self._past = past
        super().__init__(version)

    async def _join(self) -> None:
        self._past(self)
        await super()._join()

    def backfill(self, limit: int = 1000, **more: Any) -> Backfilled:
        """What we fetch."""
        backfill = Backfill(self.side.resident, self.side.clock)
        return result_of(backfill.fetch(self.theirs.room_id, limit, **more))


def talk(pair: Pair) -> None:
    """Messages, topics, and someone who comes and goes."""
    for number in range(20):
        pair.send("m.room.message", text(str(number)))
        pair.send("m.room.topic", {"topic": str(number)}, "")
    pair.send("m.room.member", {"membership": "join"}, EVE.user_id, sender=EVE)
    pair.send("m.room.message", text("hello"), sender=EVE)
    pair.send("m.room.member", {"membership": "leave"}, EVE.user_id, sender=EVE)


def fork(pair: Pair) -> None:
    """Two branches that meet."""
    root = list(pair.theirs.extremities)
    for branch in "ab":
        ends = root
        for number in range(3):
            given = Given(prev_events=ends)
            topic: Json = {"topic": f"{branch}{number}"}
            ends = [pair.send("m.room.topic", topic, "", given=given).event_id]
    pair.send()


def agrees(pair: Late) -> None:
    """We know of each event what the other server knows of it, and the store has it."""
    ours, theirs = pair.ours, pair.theirs
    assert ours.entries.keys() == theirs.entries.keys()
    for event_id, entry in theirs.entries.items():
        assert ours.entries[event_id].outcome is entry.outcome, event_id
        before, other = ours.state_before(event_id), theirs.state_before(event_id)
        assert before is not None
        assert other is not None
        assert ids(before) == ids(other)
    same(ours, pair.side.ours.read(theirs.room_id))


@pytest.mark.parametrize("past", [talk, fork, lambda _: None])
@pytest.mark.parametrize("version", ["1", "6", "10", "12"])
def test_whole_history(version: str, past: Callable[[Pair], object]) -> None:
    """All of it is judged as the other server has judged it; the room's end stays."""
    pair = Late(version, past)
    before = pair.ours.extremities, ids(pair.ours.current)
    done = pair.backfill()
    assert done.is_complete
    assert done.server_name == THEM.server_name
    assert (pair.ours.extremities, ids(pair.ours.current)) == before
    agrees(pair)
    # Now there is nothing to ask for.
    made = len(pair.calls.made)
    again = pair.backfill()
    assert (again.entries, again.server_name, again.is_complete) == ([], None, True)
    assert len(pair.calls.made) == made


@pytest.mark.parametrize("version", ["1", "12"])
def test_part_by_part(version: str) -> None:
    """The newest come first, as many as are asked for; the rest comes later."""
    pair = Late(version, talk)
    first = pair.backfill(10)
    assert len(first.entries) == 10
    assert not first.is_complete
    depths = [each.depth for each in first.entries]
    assert depths == sorted(depths)
    assert depths[-1] == max(x.depth for x in pair.theirs.entries.values()) - 1
    assert pair.calls.made.count("state_ids") == 1
    while not pair.backfill(20).is_complete:
        pass
    agrees(pair)
    # What goes on now goes on as before.
    last = pair.send()
    assert pair.transact(last) == {last.event_id: {}}
    assert pair.ours.extremities == {last.event_id}


def test_before_one_event() -> None:
    """With an event, only what leads to it is fetched."""
    pair = Late("10", talk)
    last = pair.send()
    pair.transact(last)
    [first] = [x for x in pair.ours.entries.values() if x.type == "m.room.create"]
    done = pair.backfill(start=first.event_id)
    assert (done.entries, done.is_complete) == ([], True)
    assert pair.backfill(5, start=last.event_id).entries
    with pytest.raises(NotFound, match="has no event"):
        pair.backfill(start=EventId("$no"))


def test_wrong_events() -> None:
    """What is badly signed, unrelated or not allowed is not taken as history."""
    pair = Late("10", talk)
    unrelated = Pair("10", seed=2).send()
    entry = next(reversed(pair.ours.entries.values()))
    [event] = result_of(pair.theirs.read(entry.prev)).values()
    unsigned = {**event.pdu, "signatures": {}}
    aside = changed(event, THEM, content={"membership": "leave", "x": 1})
    pair.calls.change["backfill"] = lambda _: {
        "pdus": [unsigned, unrelated.pdu, aside.pdu, 7, {}]
    }
    with pytest.raises(NoServerHelps, match="no more of what is missing"):
        pair.backfill()
    assert unrelated.event_id not in pair.ours.entries
    assert aside.event_id not in pair.ours.entries


def test_not_allowed_then() -> None:
    """An event that the state before it does not allow is rejected history."""
    pair = Late("10", talk)
    entry = next(reversed(pair.ours.entries.values()))
    [event] = result_of(pair.theirs.read(entry.prev)).values()
    before = pair.theirs.state_before(event.event_id)
    assert before is not None
    join = before["m.room.member", EVE.user_id].event_id
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": [x for x in as_list(reply["pdu_ids"], "") if x != join],
    }
    done = pair.backfill(1)
    [known] = done.entries
    assert known.event_id == event.event_id
    assert known.outcome is Outcome.REJECTED
    assert ids(pair.ours.current) == ids(pair.theirs.current)


def refuse(_: Json) -> Json:
    """A server that does not have it."""
    raise NotFound("nothing")


def test_another_server() -> None:
    """Where one server has nothing, another is asked; the answer names the first."""
    pair = Late("10", talk)
    pair.transact(pair.admit())
    pair.calls.change["backfill"] = refuse
    done = pair.backfill(5, via=[THEM.server_name, US])
    assert done.server_name == OTHERS.server_name
    [failure] = done.failures
    assert isinstance(failure, Failure)
    assert failure.server_name == THEM.server_name
    assert "nothing" in failure.why
    assert pair.calls.made[:2] == ["backfill"] * 2


@pytest.mark.parametrize(
    ("room_id", "number", "why"),
    [
        (None, MAX_SIGNERS, f"more than {MAX_SIGNERS} servers"),
        ("!other:them.example", 20, "no more of what is missing"),
    ],
)
def test_events_of_many_servers(room_id: str | None, number: int, why: str) -> None:
    """Keys are fetched for events of the room, and of a bounded number of servers."""
    pair = Late("10", talk)
    [create] = [x for x in pair.theirs.events.values() if x.type == "m.room.create"]
    like = {**create.pdu, "room_id": room_id or create.room_id}
    crowd = [{**like, "sender": f"@a:s{each}.example"} for each in range(number)]
    never = [f"${each:043}" for each in range(40)]
    pair.calls.change["state_ids"] = lambda _: {"pdu_ids": never, "auth_chain_ids": []}
    pair.calls.change["state"] = lambda _: {"pdus": crowd, "auth_chain": [create.pdu]}
    before = len(pair.side.keys.asked)
    with pytest.raises(NoServerHelps, match=why):
        pair.backfill(1)
    asked = {str(name) for name, *_ in pair.side.keys.asked[before:]}
    assert asked == {THEM.server_name.name}


@pytest.mark.parametrize(
    "junk",
    [
        lambda ids: [*ids, 7],
        lambda ids: [*ids, "$" + "a" * 255],
        lambda ids: ids * MAX_STATE,
    ],
)
def test_state_with_junk(junk: Callable[[list[object]], list[object]]) -> None:
    """A state of which a part cannot be read is no state; no part of it is taken."""
    pair = Late("10", talk)
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": junk(as_list(reply["pdu_ids"], "")),
    }
    with pytest.raises(NoServerHelps):
        pair.backfill(1)
    assert pair.calls.made.count("state") == 0
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))


def test_read_again_meanwhile() -> None:
    """An event that could not be written is no part of a state that a server tells."""
    pair = Late("10", talk)
    topic = pair.send("m.room.topic", {"topic": "never written"}, "")
    rooms = pair.side.ours.rooms

    async def fail() -> None:
        async with rooms.turn(pair.theirs.room_id) as turn:
            await turn.know_all([topic])
            raise RoomChanged("")

    def lose(reply: Json) -> Json:
        with pytest.raises(RoomChanged):
            result_of(fail())
        return {**reply, "pdu_ids": [*as_list(reply["pdu_ids"], ""), topic.event_id]}

    pair.calls.change["state_ids"] = lose
    pair.calls.change["event"] = refuse
    with pytest.raises(NoServerHelps):
        pair.backfill(1)
    assert topic.event_id not in pair.ours.entries
    same(pair.ours, pair.side.ours.read(pair.theirs.room_id))


def test_rest_of_another_server() -> None:
    """What one server lacks of the history, the next one gives."""
    pair = Late("10", talk)
    pair.transact(pair.admit())
    given: list[int] = []

    def some(reply: Json) -> Json:
        given.append(1)
        return {"pdus": as_list(reply["pdus"], "")[:10] if len(given) == 1 else []}

    pair.calls.change["backfill"] = some
    done = pair.backfill(via=[THEM.server_name])
    assert done.is_complete
    assert done.server_name == THEM.server_name
    assert [each.server_name for each in done.failures] == [THEM.server_name]
    depths = [each.depth for each in done.entries]
    assert depths == sorted(depths)
    agrees(pair)


def test_states_are_bounded() -> None:
    """Of many branches without a past, the states of some are fetched, not of all."""

    def many(pair: Pair) -> None:
        root = list(pair.theirs.extremities)
        for number in range(19):
            last = root
            for _ in range(2):
                given = Given(prev_events=last)
                topic: Json = {"topic": str(number)}
                last = [pair.send("m.room.topic", topic, "", given=given).event_id]

    pair = Late("10", many)
    done = pair.backfill(19)
    assert len(pair.theirs.extremities) == 1
    assert 0 < len(done.entries) <= 10
    assert pair.calls.made.count("state_ids") <= 10


@pytest.mark.parametrize("length", [43, 3000])
def test_events_that_are_nowhere(length: int) -> None:
    """History is fetched beside what a newer event cites and no server has."""
    pair = Late("10", talk)
    nowhere = ["$" + f"{number:02}".rjust(length, "x") for number in range(20)]
    lie = changed(pair.send(), prev_events=nowhere, depth=10**9)

    async def place(turn: Turn) -> None:
        await turn.place(lie, turn.room.current, is_old=False)

    result_of(pair.side.ours.rooms.change(pair.theirs.room_id, place))
    done = pair.backfill()
    assert not done.is_complete
    assert len(done.entries) > 40
    before = pair.theirs.entries.keys() - pair.ours.entries.keys()
    assert len(before) == 1  # the message that the lie was made of
    # In vain, too, each of them is asked for once.
    pair.calls.made.clear()
    with pytest.raises(NoServerHelps):
        pair.backfill()
    assert pair.calls.made.count("backfill") == (1 if length == 43 else 0)
