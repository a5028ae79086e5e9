"""Gaps that the server which sent an event does not fill, or about which it lies."""

from collections.abc import Callable

import pytest

from homeserver.protocol.canonical_json import Json, as_list
from homeserver.protocol.errors import NotFound
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from homeserver.rooms.source import MAX_STATE
from tests.support.our_rooms import BOB
from tests.support.room_pair import OLI, Pair
from tests.support.room_side import changed
from tests.support.signed_requests import THEM
from tests.support.state_ids import ids

Lie = Callable[[Json], Json]

MOST_REQUESTS = 40  # of one event whose gap is not filled, to all servers


def refuse(_: Json) -> Json:
    """A server that does not have it."""
    raise NotFound("nothing")


def nothing(_: Json) -> Json:
    """A server that has none."""
    return {}


def three(version: str = "10") -> Pair:
    """A room of ours, of the server that lies, and of a third one."""
    pair = Pair(version)
    pair.transact(pair.admit())
    return pair


def lie(pair: Pair, **lies: Lie) -> None:
    """Let the other server answer so, and all that it is not told as if unknown."""
    pair.calls.change = dict.fromkeys(
        ("get_missing_events", "event", "state_ids", "state", "event_auth"), refuse
    )
    pair.calls.change |= lies


def has_all(pair: Pair) -> None:
    """We have the room as the other server has it."""
    assert pair.ours.entries.keys() == pair.theirs.entries.keys()
    assert pair.ours.extremities == pair.theirs.extremities
    assert ids(pair.ours.current) == ids(pair.theirs.current)


def badly_signed(reply: Json) -> Json:
    """Events whose signatures do not verify."""
    found = [
        {**each, "signatures": {str(THEM.server_name): {"ed25519:t_1": "A" * 86}}}
        for each in as_list(reply["events"], "events")
        if isinstance(each, dict)
    ]
    return {"events": found}


UNRELATED = Pair("10", seed=2).send()


@pytest.mark.parametrize(
    "answer",
    [
        refuse,
        nothing,
        badly_signed,
        lambda _: {"events": [UNRELATED.pdu] * 20},
        lambda _: {"events": 1},
    ],
)
@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_missing_events_of_another_server(version: str, answer: Lie) -> None:
    """What the origin does not give, or gives wrongly, another server gives."""
    pair = three(version)
    pair.send("m.room.topic", {"topic": "lost"}, "")
    last = pair.send()
    lie(pair, get_missing_events=answer)
    assert pair.transact(last) == {last.event_id: {}}
    has_all(pair)
    assert pair.calls.of_others == ["get_missing_events"]


def test_endless_chain() -> None:
    """A chain without an end is followed some steps, and then no further."""
    pair = three()
    for _ in range(200):
        pair.send()
    last = pair.send()
    pair.calls.change["state_ids"] = refuse
    assert pair.transact(last) == {last.event_id: {}}
    # The third server gives the state where the steps end.
    assert pair.calls.of_others.count("state_ids") == 1
    assert len(pair.calls.made) < MOST_REQUESTS


@pytest.mark.parametrize(
    "event",
    [refuse, lambda _: {"pdus": [UNRELATED.pdu]}, lambda _: {"pdus": []}],
)
def test_state_that_is_not_to_be_had(event: Lie) -> None:
    """IDs of a state without their events are no state; another server has them."""
    pair = three()
    topics = [pair.send("m.room.topic", {"topic": str(n)}, "") for n in range(130)]
    last = pair.send()
    lie(
        pair,
        get_missing_events=lambda reply: reply,
        state_ids=lambda reply: reply,
        event=event,
    )
    assert pair.transact(last) == {last.event_id: {}}
    assert ids(pair.ours.current) == ids(pair.theirs.current)
    assert pair.ours.entries[topics[-1].event_id].outcome is Outcome.ACCEPTED
    assert "event" in pair.calls.of_others


def test_state_that_is_too_large() -> None:
    """A state of more events than are taken in is not taken for its first part."""
    pair = Pair("10")
    for number in range(130):
        pair.send("m.room.topic", {"topic": str(number)}, "")
    last = pair.send()
    more = [f"$never{number}" for number in range(MAX_STATE)]
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": [*as_list(reply["pdu_ids"], ""), *more],
    }
    assert "could not be fetched" in pair.transact(last)[last.event_id]["error"]
    assert pair.calls.made.count("state") == 0


def test_auth_chain_that_omits_what_matters() -> None:
    """An auth event that the origin leaves out is fetched of another server."""
    pair = three()
    levels = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}}, "")
    more = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}, "ban": 1}, "")
    create = pair.theirs.current["m.room.create", ""].event_id
    join = pair.theirs.current["m.room.member", BOB.user_id].event_id
    last = pair.send(
        given=Given(
            prev_events=list(levels.prev_event_ids),
            auth_events=[create, join, more.event_id],
        )
    )
    lie(
        pair,
        event_auth=lambda reply: {
            "auth_chain": [
                each
                for each in as_list(reply["auth_chain"], "")
                if each not in (levels.pdu, more.pdu)
            ]
        },
    )
    assert pair.transact(last) == {last.event_id: {}}
    assert pair.ours.entries[last.event_id].outcome is Outcome.ACCEPTED
    assert pair.ours.entries[levels.event_id].outcome is Outcome.OUTLIER
    assert "event_auth" in pair.calls.of_others


def test_omitted_deep_in_the_chain() -> None:
    """An auth event of an auth event that is left out is asked for by its ID."""
    pair = Pair("10")
    levels = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}}, "")
    more = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}, "ban": 1}, "")
    create = pair.theirs.current["m.room.create", ""].event_id
    join = pair.theirs.current["m.room.member", BOB.user_id].event_id
    last = pair.send(
        given=Given(
            prev_events=list(levels.prev_event_ids),
            auth_events=[create, join, more.event_id],
        )
    )
    pair.calls.change["event_auth"] = lambda _: {"auth_chain": [more.pdu]}
    assert pair.transact(last) == {last.event_id: {}}
    assert pair.calls.made == ["event_auth", "event"]


@pytest.mark.parametrize("version", ["1", "12"])
def test_unknown_for_ever(version: str) -> None:
    """What no server has costs some requests, and is not asked for again."""
    pair = three(version)
    last = pair.send()
    never: object = "$" + "a" * 43
    if version == "1":
        never = [f"$never:{THEM.server_name}", {"sha256": "a"}]
    lost = changed(last, THEM, prev_events=[never])
    assert "could not be fetched" in pair.transact(lost)[lost.event_id]["error"]
    assert lost.event_id not in pair.ours.entries
    assert 0 < len(pair.calls.of_others) < len(pair.calls.made) < MOST_REQUESTS
    before = len(pair.calls.made)
    assert pair.transact(last) == {last.event_id: {}}
    assert len(pair.calls.made) == before


def test_auth_chain_with_more() -> None:
    """Of an auth chain, what does not authorise the event is not taken in."""
    pair = three()
    levels = pair.send("m.room.power_levels", {"users": {BOB.user_id: 100}}, "")
    last = pair.send()
    aside = [changed(levels, content={"ban": n}) for n in range(50)]
    chain: Json = {"auth_chain": [x.pdu for x in [*aside, levels]]}
    lie(pair, event_auth=lambda _: chain)
    assert pair.transact(last) == {last.event_id: {}}
    assert "event_auth" in pair.calls.made
    has_all(pair)


def test_state_with_more() -> None:
    """Of a state, what it does not consist of and rest on is not taken in."""
    pair = three()
    topics = [pair.send("m.room.topic", {"topic": str(n)}, "") for n in range(130)]
    last = pair.send()
    state = [*pair.theirs.current.values()]
    aside = [changed(topics[0], content={"topic": f"x{n}"}) for n in range(50)]
    pair.calls.change["state_ids"] = lambda _: {
        "pdu_ids": [x.event_id for x in state],
        "auth_chain_ids": [x.event_id for x in aside],
    }
    pair.calls.change["state"] = lambda _: {"pdus": [x.pdu for x in [*aside, *state]]}
    assert pair.transact(last) == {last.event_id: {}}
    assert "state" in pair.calls.made
    assert not {x.event_id for x in aside} & pair.ours.entries.keys()


def test_long_ids() -> None:
    """What is too long for an ID is not asked for, and shown in part."""
    pair = three()
    long = ["$\n" + "a" * 300, "$" + "\u00e9" * 128]
    lost = changed(pair.send(), THEM, auth_events=long)
    why = pair.transact(lost)[lost.event_id]["error"]
    assert "event_auth" in pair.calls.made
    assert "event" not in pair.calls.made
    assert why.isprintable()
    assert len(why) < 300


def test_of_another_room() -> None:
    """An event after one of another room is not taken in, nor is that one."""
    pair = three()
    last = pair.send()
    foreign = changed(last, THEM, prev_events=[UNRELATED.event_id])
    pair.calls.change = dict.fromkeys(
        ("get_missing_events", "event"),
        lambda _: {"events": [UNRELATED.pdu], "pdus": [UNRELATED.pdu]},
    )
    assert "error" in pair.transact(foreign)[foreign.event_id]
    assert UNRELATED.event_id not in pair.ours.entries
    assert foreign.event_id not in pair.ours.entries
    assert len(pair.calls.made) < MOST_REQUESTS


def test_many_that_lie() -> None:
    """Beyond a number of gaps, an origin that lies costs other servers nothing."""
    pair = three()
    last = pair.send()
    for number in range(40):
        never = "$" + f"{number:043}"
        lost = changed(last, THEM, prev_events=[never])
        pair.transact(lost)
    assert pair.calls.of_others.count("get_missing_events") == 20
    pair.side.clock.advance(10)
    pair.transact(changed(last, THEM, prev_events=["$" + "b" * 43]))
    assert pair.calls.of_others.count("get_missing_events") == 21


def test_requests_of_one_walk() -> None:
    """A server whose answers always lack something is asked a number of times."""
    pair = Pair("10")
    hole = pair.send()
    cited = [f"${number:042}a" for number in range(9)]
    linked = [hole]
    for number in range(60):
        prev = [linked[-1].event_id]
        each = changed(hole, auth_events=cited, depth=100 + number, prev_events=prev)
        linked.append(each)
    parts = iter([linked[-20:], linked[-40:-20], linked[:-40]])
    last = changed(hole, THEM, prev_events=[linked[-1].event_id], depth=200)
    pair.calls.change["get_missing_events"] = lambda _: {
        "events": [each.pdu for each in next(parts, [])]
    }
    assert "error" in pair.transact(last)[last.event_id]
    assert len(pair.calls.made) == 200


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("is_direct", [True, False])
def test_a_state_without_what_holds_at_our_end(
    version: str, *, is_direct: bool
) -> None:
    """The other server says no ban; ours holds, whatever has the event before it.

    That is either the ban and an unknown event, or an event whose own state nothing
    tells.
    """
    pair = Pair(version)
    pair.transact(pair.send("m.room.x", {}, "x"))
    [start] = pair.theirs.extremities
    ban = pair.send("m.room.member", {"membership": "ban"}, OLI.user_id)
    assert pair.transact(ban) == {ban.event_id: {}}
    fork = Given(prev_events=[start if is_direct else ban.event_id])
    hidden = pair.send("m.room.topic", {"topic": "1"}, "", given=fork)
    cited = [ban.event_id, hidden.event_id] if is_direct else [hidden.event_id]
    middle = pair.send("m.room.y", {}, "y", given=Given(prev_events=cited))
    last = pair.send()
    pair.calls.change["get_missing_events"] = refuse
    pair.calls.change["state_ids"] = lambda reply: {
        **reply,
        "pdu_ids": [
            each
            for each in as_list(reply["pdu_ids"], "the state")
            if each != ban.event_id
        ],
    }
    assert pair.transact(last) == {last.event_id: {}}
    assert pair.ours.entries[middle.event_id].outcome is Outcome.ACCEPTED
    assert membership(pair.ours.current, OLI.user_id) == "ban"
