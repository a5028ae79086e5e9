"""State resolution: the vectors, its laws, and what neither of them has."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.rooms.auth_graph import AuthGraph, UnknownAuthEvent
from homeserver.protocol.rooms.state import StateMap, state_of
from homeserver.protocol.rooms.state_resolution import resolve
from homeserver.protocol.rooms.switches import Switches
from homeserver.protocol.slices import run
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom
from tests.protocol.rooms.vectors import Vectors
from tests.support.state_ids import ids

_VECTORS = {version: Vectors(f"state-{version}.json") for version in (1, 2, 6, 10, 12)}
_CASES = [
    pytest.param(vectors, case, id=f"{version}-{case['name']}")
    for version, vectors in _VECTORS.items()
    for case in vectors.cases
]

rooms = st.builds(
    RandomRoom, st.integers(0), st.sampled_from(VERSIONS), st.integers(5, 40)
)


def test_all_vectors_are_there() -> None:
    """There are the 92 cases that independent implementations were asked about."""
    assert len(_CASES) == 92


@pytest.mark.parametrize(("vectors", "case"), _CASES)
def test_vectors(vectors: Vectors, case: dict[str, list[str]]) -> None:
    """Each case has the state that independent implementations agree on."""
    events = vectors.events
    graph = AuthGraph(vectors.room_version, {e.event_id: e for e in events.values()})
    base = state_of(events[label] for label in vectors.base)
    states = [
        base | state_of(events[label] for label in labels)
        for labels in case["state_sets"]
    ]
    shared = {
        key: event
        for key, event in states[0].items()
        if all(state.get(key) == event for state in states)
    }
    expected = shared | state_of(events[label] for label in case["resolved"])
    assert ids(resolve(graph, states)) == ids(expected)


@given(rooms, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_order_does_not_matter(room: RandomRoom, random: Random) -> None:
    """The state is the same in whatever order states, keys and events come."""
    events = list(room.events.items())
    random.shuffle(events)
    graph = replace(room.graph, events=dict(events))
    for merge in room.merges:
        states = []
        for state in random.sample(merge.states, len(merge.states)):
            entries = list(state.items())
            random.shuffle(entries)
            states.append(dict(entries))
        assert ids(resolve(graph, states)) == ids(merge.resolved)


@given(rooms)
@settings(max_examples=20)
def test_one_state_is_given_back(room: RandomRoom) -> None:
    """One state resolves to itself, however often it comes."""
    for state in room.after.values():
        assert ids(resolve(room.graph, [state])) == ids(state)
        assert ids(resolve(room.graph, [state, dict(state)])) == ids(state)


def test_nothing_resolves_to_nothing() -> None:
    """Before the first event, there is no state."""
    assert resolve(MadeRoom("10").graph, []) == {}


def test_one_state_needs_no_auth_chain() -> None:
    """States that are the same hold, whatever is known of their events."""
    room = MadeRoom("10")
    state = state_of([room.create, room.join])
    graph = AuthGraph(room.version, {})
    assert ids(resolve(graph, [state, dict(state)])) == ids(state)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_an_algorithm(version: str) -> None:
    """A topic of one branch alone holds where they meet, in each version."""
    room = MadeRoom(version)
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join])
    base = state_of([room.create, room.join])
    states: list[StateMap] = [base, base | state_of([topic])]
    assert ids(resolve(room.graph, states)) == ids(states[1])


def test_half_of_an_auth_chain() -> None:
    """Without an event of an auth chain, there is no state instead of a wrong one."""
    room = MadeRoom("10")
    first = room.send("m.room.topic", ALICE, {"n": 1}, cites=[room.join])
    second = room.send("m.room.topic", ALICE, {"n": 2}, cites=[room.join])
    del room.events[room.join.event_id]
    with pytest.raises(UnknownAuthEvent) as problem:
        resolve(room.graph, [state_of([first]), state_of([second])])
    assert problem.value.event_id == room.join.event_id
    assert room.join.event_id in str(problem.value)


@pytest.mark.parametrize(("are_candidates", "expected"), [(True, 2), (False, 1)])
def test_rejected_candidates(*, are_candidates: bool, expected: int) -> None:
    """A rejected event that the rules allow joins the state by one reading."""
    room = MadeRoom("10")
    accepted = room.send("m.room.topic", ALICE, {"n": 1}, cites=[room.join], ts=1)
    rejected = room.send("m.room.topic", ALICE, {"n": 2}, cites=[room.join], ts=2)
    graph = replace(
        room.graph,
        rejected={rejected.event_id},
        switches=Switches(rejected_are_candidates=are_candidates),
    )
    base = state_of([room.create, room.join])
    states = [base | state_of([accepted]), base | state_of([rejected])]
    resolved = resolve(graph, states)
    assert resolved["m.room.topic", ""].content == {"n": expected}


@pytest.mark.parametrize("version", ["1", "10"])
def test_switches_of_the_rules(version: str) -> None:
    """The rules that are applied read the text as the switches say."""
    room = MadeRoom(version, more={"m.federate": False})
    kick = room.member(BOB, "leave", sender=ALICE, cites=[room.join])
    invite = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    topics = [
        room.send("m.room.topic", user, {}, cites=[room.join], depth=depth)
        for user, depth in ((ALICE, 1), (BOB, 2))
    ]
    base = state_of([room.create, room.join])
    states = [base | state_of([kick, topics[0]]), base | state_of([invite, topics[1]])]
    graph = replace(room.graph, switches=Switches(federation_binds_targets=True))
    key = ("m.room.member", BOB)
    assert resolve(graph, states).get(key) != resolve(room.graph, states)[key]


def test_unconflicted_state_stands() -> None:
    """What is replayed does not replace what both states have."""
    room = MadeRoom("10")
    content: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, content, cites=[room.join])
    join = room.member(BOB, "join", cites=[rules])
    leave = room.member(BOB, "leave", cites=[])
    topics = [
        room.send("m.room.topic", ALICE, {"n": 1}, cites=[room.join]),
        room.send("m.room.topic", BOB, {"n": 2}, cites=[join]),
    ]
    base = state_of([room.create, room.join, rules, leave])
    states = [base | state_of([each]) for each in topics]
    # The join is in the auth chain of one state, and the rules allow it.
    assert run(room.graph.auth_difference(states)) >= {join.event_id}
    assert ids(resolve(room.graph, states)) == ids(states[0])


def test_what_power_events_rest_on() -> None:
    """All that authorises a power event is applied before it, in its order."""
    room = MadeRoom("10")
    content: dict[str, object] = {"users": {ALICE: 100, BOB: 50}}
    power = room.send("m.room.power_levels", ALICE, content, cites=[room.join])
    public: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, public, cites=[room.join, power])
    joins = [room.member(BOB, "join", cites=[power, rules])]
    joined: dict[str, object] = {"membership": "join", "displayname": "Bob"}
    joins.append(
        room.send("m.room.member", BOB, joined, BOB, cites=[power, rules, joins[0]])
    )
    kick = room.member("@c:c", "leave", sender=BOB, cites=[power, joins[1]])
    base = state_of([room.create, room.join, power, rules])
    states: list[StateMap] = [base, base | state_of([joins[1], kick])]
    resolved = resolve(room.graph, states)
    assert resolved["m.room.member", BOB].event_id == joins[1].event_id


def test_messages_are_no_state() -> None:
    """An event without a state key that is cited is applied to nothing."""
    room = MadeRoom("10")
    message = room.send("m.room.message", ALICE, {}, None, cites=[room.join])
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join, message])
    base = state_of([room.create, room.join])
    states: list[StateMap] = [base, base | state_of([topic])]
    assert ids(resolve(room.graph, states)) == ids(states[1])


def test_rejected_auth_events() -> None:
    """What a rejected auth event says does not supply what the state lacks."""
    room = MadeRoom("12")
    join = room.member(BOB, "join", cites=[room.join])
    levels = room.send(
        "m.room.power_levels", ALICE, {"events": {"m.room.topic": 0}}, cites=[room.join]
    )
    topics = [
        room.send("m.room.topic", BOB, {"n": n}, cites=[levels, join], ts=n)
        for n in (1, 2)
    ]
    base = state_of([room.create, room.join, join, levels])
    states = [base | state_of([each]) for each in topics]
    assert ids(resolve(room.graph, states)) == ids(states[1])
    graph = replace(room.graph, rejected={join.event_id})
    assert ids(resolve(graph, states)) == ids(base)


@pytest.mark.parametrize(("counts", "expected"), [(True, "late"), (False, "cites new")])
def test_own_events_in_auth_chains(*, counts: bool, expected: str) -> None:
    """Power levels of both states that one alone cites are replayed by one reading.

    Then there is a mainline, and the topic that cites the newer power levels holds;
    else the later topic does.
    """
    room = MadeRoom("12")
    content: dict[str, object] = {"users": {BOB: 100}}
    old = room.send("m.room.power_levels", ALICE, content, cites=[room.join])
    new = room.send("m.room.power_levels", ALICE, content, cites=[old, room.join])
    early = room.send(
        "m.room.topic", ALICE, {"n": "cites new"}, cites=[new, room.join], ts=1
    )
    late = room.send("m.room.topic", ALICE, {"n": "late"}, cites=[old, room.join], ts=2)
    base = state_of([room.create, room.join, new])
    graph = replace(room.graph, switches=Switches(states_are_in_their_chains=counts))
    resolved = resolve(graph, [base | state_of([each]) for each in (early, late)])
    assert resolved["m.room.topic", ""].content == {"n": expected}


@pytest.mark.parametrize("version", ["2", "6", "10", "11"])
@pytest.mark.parametrize(("counts", "expected"), [(True, "join"), (False, "leave")])
def test_own_events_in_auth_chains_of_v2(
    version: str, expected: str, *, counts: bool
) -> None:
    """Join rules of both states that one alone cites are a power event by one reading.

    Then the join that authorises them comes first, and the leave after it; else the
    earlier time of the leave decides, and the join replaces it.
    """
    room = MadeRoom(version)
    public: dict[str, object] = {"join_rule": "public"}
    rules = room.send("m.room.join_rules", ALICE, public, cites=[room.join])
    cites = [room.join, rules]
    invite = room.member(BOB, "invite", sender=ALICE, cites=cites)
    left: dict[str, object] = {"membership": "leave"}
    leave = room.send("m.room.member", ALICE, left, ALICE, cites=[room.join], ts=1)
    states = [
        state_of([room.create, rules, room.join, invite]),
        state_of([room.create, rules, leave]),
    ]
    graph = replace(room.graph, switches=Switches(states_are_in_their_chains=counts))
    member = resolve(graph, states)["m.room.member", ALICE]
    assert member.content["membership"] == expected


@pytest.mark.parametrize("version", ["2", "6", "10", "11"])
@pytest.mark.parametrize(
    ("ts", "are_power_events", "expected"),
    [
        (1, True, "first"),
        (5000, True, "second"),
        (1, False, "second"),
        (5000, False, "second"),
    ],
)
def test_two_create_events(
    version: str, ts: int, expected: str, *, are_power_events: bool
) -> None:
    """As power events, the later one holds; else the one that authorises nothing.

    The server in the room ID can make a second one: no rule refuses it before version
    12, in which each create event has a room of its own.
    """
    room = MadeRoom(version)
    levels: dict[str, object] = {"users": {ALICE: 100}}
    power = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    name = room.send("m.room.name", ALICE, {}, cites=[room.join, power])
    content: dict[str, object] = {"room_version": version, "creator": "@eve:a.example"}
    second = room.send(
        "m.room.create", "@eve:a.example", content, cites=[], prev_events=[], ts=ts
    )
    both = {"first": room.create, "second": second}
    switches = Switches(creates_are_power_events=are_power_events)
    graph = replace(room.graph, switches=switches)
    states = [state_of([room.create, room.join, power, name]), state_of([second])]
    resolved = resolve(graph, states)
    assert ids(resolved) == ids(state_of([both[expected], room.join, power, name]))
