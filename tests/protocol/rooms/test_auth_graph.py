"""Auth chains, their difference, and what lies between conflicted events."""

from dataclasses import replace

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.state import CREATE, state_of
from homeserver.protocol.rooms.switches import Switches
from homeserver.protocol.slices import run
from tests.protocol.rooms.made_rooms import ALICE, MadeRoom
from tests.protocol.rooms.vectors import reference

_TEXT = Switches(states_are_in_their_chains=False)


def topic(room: MadeRoom, *cites: Event) -> Event:
    """One more topic, with a state key of its own."""
    return room.send("m.test", ALICE, {}, str(len(room.events)), cites=cites)


def ids(*events: Event) -> set[EventId]:
    """The IDs of events."""
    return {event.event_id for event in events}


def test_auth_chain() -> None:
    """It is all that is reached, but of the events themselves what is cited alone."""
    room = MadeRoom("10")
    one = topic(room, room.join)
    two, aside = topic(room, one), topic(room, room.join)
    assert room.graph.auth_chain(ids(two)) == ids(room.create, room.join, one)
    assert room.graph.auth_chain(ids(two, one)) == ids(room.create, room.join, one)
    assert room.graph.auth_chain(ids(room.create)) == set()
    assert aside.event_id not in room.graph.auth_chain(ids(two))


@pytest.mark.parametrize("version", ["2", "11"])
def test_auth_events_of_a_create_event(version: str) -> None:
    """Those that are unknown, or of another room, count for nothing."""
    other = MadeRoom(version, "@other:other.example")
    room = MadeRoom(version)
    levels = room.send("m.room.power_levels", ALICE, {}, cites=[room.join])
    unknown = room.send("m.room.join_rules", ALICE, {}, cites=[room.join])
    cites = [reference(each) for each in (other.create, unknown, levels)]
    create = room.send("m.room.create", ALICE, {}, cites=[], auth_events=cites)
    events = other.events | room.events
    del events[unknown.event_id]
    graph = replace(room.graph, events=events)
    assert list(graph.cited_by(create.event_id)) == [levels.event_id]
    assert graph.auth_chain(ids(create)) == ids(levels, room.join, room.create)
    assert graph.power_levels_of(create) is levels
    assert graph.auth_state(create) == state_of([levels])


def test_long_auth_chain() -> None:
    """Its length is limited by memory alone: nothing recurses."""
    room = MadeRoom("12")
    last = room.join
    for _ in range(3000):
        last = topic(room, last)
    assert (
        len(room.graph.auth_chain(ids(last))) == 3000
    )  # version 12 cites no create event


def test_auth_difference() -> None:
    """It is what some full auth chains have and others lack."""
    room = MadeRoom("10")
    shared = topic(room, room.join)
    left, right = topic(room, shared), topic(room, shared)
    ends = topic(room, left), topic(room, right)
    states = [state_of([room.create, room.join, each]) for each in ends]
    assert run(room.graph.auth_difference(states)) == ids(left, right, *ends)
    by_text = replace(room.graph, switches=_TEXT)
    assert run(by_text.auth_difference(states)) == ids(left, right)
    assert run(by_text.auth_difference([*states, state_of([left])])) == ids(
        left, right, shared
    ) - ids(shared)
    assert run(by_text.auth_difference([*states, {}])) == ids(
        left, right, shared, room.join, room.create
    )


def test_conflicted_subgraph() -> None:
    """It is what lies on paths from one conflicted event to another, ends included."""
    room = MadeRoom("12")
    below = topic(room, room.join)
    start = topic(room, below)
    between, aside = topic(room, start), topic(room, start)
    deep = topic(room, between)
    end = topic(room, deep, below)
    above = topic(room, end)
    alone = topic(room, room.join)
    assert run(room.graph.conflicted_subgraph(ids(start, end, alone))) == ids(
        start, between, deep, end, alone
    )
    assert above.event_id in room.events
    assert aside.event_id in room.events


@pytest.mark.parametrize("version", ["11", "12"])
def test_auth_state(version: str) -> None:
    """It has the create event in each version, and no rejected event."""
    room = MadeRoom(version)
    event = topic(room, room.join)
    state = room.graph.auth_state(event)
    assert state == state_of([room.create, room.join])
    rejected = replace(room.graph, rejected=ids(room.join))
    assert rejected.auth_state(event) == {CREATE: room.create}


def test_power_levels_of() -> None:
    """They are those with the empty state key, if an event cites some."""
    room = MadeRoom("10")
    other = room.send("m.room.power_levels", ALICE, {}, "x", cites=[room.join])
    levels = room.send("m.room.power_levels", ALICE, {}, cites=[room.join])
    assert room.graph.power_levels_of(topic(room, room.join, other)) is None
    assert room.graph.power_levels_of(topic(room, other, levels)) == levels
