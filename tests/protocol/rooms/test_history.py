"""A room's events as they arrive, and what follows from each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.history import History
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap, state_of
from homeserver.protocol.rooms.state_resolution import resolve
from homeserver.protocol.rooms.switches import Switches
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom


def received(room: MadeRoom) -> History:
    """A room all of whose events have arrived in the order of their making."""
    history = History(room.version)
    for event in room.events.values():
        history.receive(event)
    return history


def outcomes(history: History) -> list[Outcome]:
    """What became of each event."""
    return [each.receipt.outcome for each in history.judged.values()]


def topic(room: MadeRoom, sender: str, *cites: Event) -> Event:
    """One more topic after the last event."""
    content: dict[str, object] = {"topic": str(len(room.events))}
    return room.send("m.room.topic", sender, content, cites=cites)


@pytest.mark.parametrize("version", VERSIONS)
def test_accepted(version: str) -> None:
    """What the rules allow is accepted and changes the state, in each version."""
    room = MadeRoom(version)
    event = topic(room, ALICE, room.join)
    history = received(room)
    assert outcomes(history) == [Outcome.ACCEPTED] * 3
    assert history.judged[event.event_id].before == state_of([room.create, room.join])
    assert history.current == state_of([room.create, room.join, event])
    assert history.extremities == {event.event_id}


@pytest.mark.parametrize("version", VERSIONS)
def test_auth_events_of_the_create_event(version: str) -> None:
    """They may name anything, and still branches of the room can meet."""
    unknown: object = "$unknown:a.example"
    cites = [unknown] if int(version) > 2 else [[unknown, {}]]
    room = MadeRoom(version, cites=cites)
    branches = [
        room.send("m.room.topic", ALICE, {"n": n}, cites=[room.join], after=[room.join])
        for n in range(2)
    ]
    room.send("m.room.name", ALICE, {}, cites=[room.join], after=branches)
    history = received(room)
    assert outcomes(history) == [Outcome.ACCEPTED] * 5
    assert history.current.keys() == {
        ("m.room.create", ""),
        ("m.room.member", ALICE),
        ("m.room.name", ""),
        ("m.room.topic", ""),
    }


def test_rejected() -> None:
    """What its auth events do not allow changes nothing, and may not be cited."""
    room = MadeRoom("10")
    event = room.member(BOB, "join", cites=[])
    citing = room.send("m.room.message", BOB, {}, None, cites=[event])
    after = room.send("m.room.message", ALICE, {}, None, cites=[room.join])
    history = received(room)
    assert [history.judged[x.event_id].receipt.outcome for x in (event, citing)] == [
        Outcome.REJECTED
    ] * 2
    assert history.judged[citing.event_id].receipt.verdict.rule == "2.3"
    # One that comes after it in `prev_events` is judged by itself.
    judged = history.judged[after.event_id]
    assert judged.receipt.outcome is Outcome.ACCEPTED
    assert judged.before == history.current == state_of([room.create, room.join])


def test_soft_failed() -> None:
    """What the current state bars is no extremity; its successors have its state."""
    room = MadeRoom("10")
    content: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, content, cites=[room.join])
    join = room.member(BOB, "join", cites=[rules])
    levels: dict[str, object] = {"users": {ALICE: 100}, "events": {"m.room.topic": 0}}
    power = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    ban = room.member(BOB, "ban", sender=ALICE, cites=[power, room.join, join])
    late = room.send("m.room.topic", BOB, {"n": 1}, cites=[power, join], after=[power])
    after = room.send(
        "m.room.message", ALICE, {}, None, cites=[power, room.join], after=[late]
    )
    history = received(room)
    judged = history.judged[late.event_id]
    assert (judged.receipt.outcome, judged.receipt.check) == (Outcome.SOFT_FAILED, 6)
    assert history.judged[after.event_id].before == state_of(
        [room.create, room.join, rules, join, power, late]
    )
    assert history.extremities == {ban.event_id, after.event_id}
    # Its topic came in by the event that cites it, and the ban stands against it.
    assert history.current == state_of([room.create, room.join, rules, power, ban])


def test_passed_over() -> None:
    """What an event continues through a soft-failed one is no extremity either."""
    room = MadeRoom("10")
    content: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, content, cites=[room.join])
    join = room.member(BOB, "join", cites=[rules])
    end = room.send("m.room.message", ALICE, {}, None, cites=[room.join], after=[join])
    ban = room.send(
        "m.room.member",
        ALICE,
        {"membership": "ban"},
        BOB,
        cites=[room.join, join],
        after=[join],
    )
    late = room.send("m.room.message", BOB, {}, None, cites=[join], after=[end])
    history = received(room)
    assert history.judged[late.event_id].receipt.outcome is Outcome.SOFT_FAILED
    assert history.extremities == {end.event_id, ban.event_id}
    after = room.send(
        "m.room.message", ALICE, {}, None, cites=[room.join], after=[late]
    )
    history.receive(after)
    assert history.extremities == {after.event_id, ban.event_id}


def test_switches() -> None:
    """A history goes by the switches that it is given."""
    room = MadeRoom("10", more={"m.federate": False})
    invite = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    assert outcomes(received(room))[-1] is Outcome.ACCEPTED
    history = History(room.version, Switches(federation_binds_targets=True))
    for event in room.events.values():
        history.receive(event)
    assert history.judged[invite.event_id].receipt.outcome is Outcome.REJECTED


def test_outlier() -> None:
    """Without the state before it, an event is an outlier that authorises others."""
    room = MadeRoom("10")
    unknown = topic(room, ALICE, room.join)
    join = room.send(
        "m.room.member", ALICE, {"membership": "join"}, ALICE, cites=[room.join]
    )
    cites = topic(room, ALICE, join)
    room.send("m.room.message", ALICE, {}, None, cites=[join], after=[room.join])
    del room.events[unknown.event_id]
    history = received(room)
    assert outcomes(history) == [
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
        Outcome.OUTLIER,
        Outcome.OUTLIER,
        Outcome.ACCEPTED,
    ]
    assert history.judged[cites.event_id].before is None
    assert history.current == state_of([room.create, room.join])


def test_rejected_outlier() -> None:
    """What its auth events do not allow is rejected, though its place is unknown."""
    room = MadeRoom("10")
    unknown = topic(room, ALICE, room.join)
    event = topic(room, BOB)
    del room.events[unknown.event_id]
    judged = received(room).judged[event.event_id]
    assert (judged.receipt.outcome, judged.before) == (Outcome.REJECTED, None)


def test_arrives_again() -> None:
    """An event that arrives again keeps what became of it."""
    room = MadeRoom("10")
    history = received(room)
    first = history.judged[room.join.event_id]
    topic(room, ALICE, room.join)
    for event in room.events.values():
        history.receive(event)
    assert history.receive(room.join) is first
    assert outcomes(history) == [Outcome.ACCEPTED] * 3


def test_unknown_auth_event() -> None:
    """An event that cites an unknown one waits for it."""
    room = MadeRoom("10")
    event = topic(room, ALICE, room.join)
    history = History(room.version)
    history.receive(room.create)
    with pytest.raises(UnknownAuthEvent, match=room.join.event_id.replace("$", r"\$")):
        history.receive(event)
    assert event.event_id not in history.judged
    history.receive(room.join)
    assert history.receive(event).receipt.outcome is Outcome.ACCEPTED


def test_unknown_create_event() -> None:
    """In version 12, an event waits for the create event that its room ID names."""
    room = MadeRoom("12")
    history = History(room.version)
    with pytest.raises(UnknownAuthEvent):
        history.receive(room.join)
    history.receive(room.create)
    assert history.receive(room.join).receipt.outcome is Outcome.ACCEPTED


def test_known_alone() -> None:
    """An event that is only known authorises, and has no verdict."""
    room = MadeRoom("10")
    event = topic(room, ALICE, room.join)
    history = History(room.version)
    history.receive(room.create)
    history.know(room.join)
    assert history.receive(event).receipt.outcome is Outcome.OUTLIER
    assert room.join.event_id not in history.judged


@given(
    st.builds(RandomRoom, st.integers(0), st.sampled_from(VERSIONS), st.integers(5, 40))
)
@settings(max_examples=25)
def test_random_rooms(room: RandomRoom) -> None:
    """What is rejected, and each state, are those of a room that is made likewise."""
    history = History(room.version)
    for event in room.events.values():
        history.receive(event)
    rejected = {
        event_id
        for event_id, judged in history.judged.items()
        if judged.receipt.outcome is Outcome.REJECTED
    }
    assert rejected == room.rejected.keys()
    for event_id, judged in history.judged.items():
        assert judged.before == room.before[event_id]
    assert history.current == resolve(room.graph, _ends(room, history))


def _ends(room: RandomRoom, history: History) -> list[StateMap]:
    """The states after the accepted events that no accepted one has continued."""
    accepted = {
        event_id
        for event_id, judged in history.judged.items()
        if judged.receipt.outcome is Outcome.ACCEPTED
    }
    continued = set()
    for event_id in accepted:
        waiting = list(room.events[event_id].prev_event_ids)
        while waiting:
            each = waiting.pop()
            continued.add(each)
            if each not in accepted:
                waiting += room.events[each].prev_event_ids
    return [room.after[each] for each in accepted - continued]
