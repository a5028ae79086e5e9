"""Which state holds where branches of a room meet: state resolution v1, v2 and v2.1.

Rules: the result depends on the states and on what their events cite, never on the
order of either. States that are all the same are not resolved: they hold. It goes in
slices, as peers decide how long it takes.

How v2 works: events that change power, and the events that authorise them, are applied
first, those of senders with more power before others. All other events in conflict
follow, along the mainline of the resulting power levels. An event that the rules do not
allow when its turn comes is left out. What was never in conflict stands in the end.

Specification: Room Versions, "State resolution" of versions 1, 2 and 12.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_events import auth_keys_of
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.orderings import order_by_mainline, order_by_power
from homeserver.protocol.rooms.state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateKey,
    StateMap,
    key_of,
    membership_of,
)
from homeserver.protocol.rooms.state_resolution_v1 import resolve_v1
from homeserver.protocol.rooms.versions import StateResolution, rules_of
from homeserver.protocol.slices import Steps, run, slices

# Between two pauses, for about half a millisecond:
_KEYS = 1000  # of all states together
_CHECKS = 20  # by the authorization rules


def resolve(graph: AuthGraph, states: Sequence[StateMap]) -> StateMap:
    """The state that holds where branches with these states meet.

    Raises `UnknownAuthEvent` where the graph lacks an event of their auth chains.
    """
    return run(resolution(graph, states))


def resolution(graph: AuthGraph, states: Sequence[StateMap]) -> Steps[StateMap]:
    """As `resolve`, in slices."""
    by_events: dict[frozenset[EventId], StateMap] = {}
    for state in states:
        by_events[_identity(state)] = state
        yield
    distinct = list(by_events.values())
    if len(distinct) < 2:
        return distinct[0] if distinct else {}
    algorithm = rules_of(graph.room_version).state_resolution
    if algorithm is StateResolution.V1:
        resolved = yield from resolve_v1(distinct, graph.switches)
    else:
        resolved = yield from _resolve_v2(graph, distinct, algorithm)
    return resolved


def _identity(state: StateMap) -> frozenset[EventId]:
    return frozenset(event.event_id for event in state.values())


def _resolve_v2(
    graph: AuthGraph, states: Sequence[StateMap], algorithm: StateResolution
) -> Steps[dict[StateKey, Event]]:
    unconflicted, conflicted = yield from _separate(states)
    # The full conflicted set.
    difference = yield from graph.auth_difference(states)
    candidates = conflicted | difference
    if algorithm is StateResolution.V2_1:
        candidates |= yield from graph.conflicted_subgraph(conflicted)
    # 1. Order the power events, and the events of their auth chains.
    first = _power_events(graph, candidates)
    ordered = yield from order_by_power(graph, first)
    # 2. Apply the iterative auth checks to them; v2.1 begins with an empty state.
    begin = {} if algorithm is StateResolution.V2_1 else unconflicted
    resolved = yield from _apply(graph, ordered, begin)
    # 3. Order the remaining events by the mainline of the power levels so resolved.
    ordered = yield from order_by_mainline(
        graph, candidates - first, resolved.get(POWER_LEVELS)
    )
    # 4. Apply the iterative auth checks to them.
    resolved = yield from _apply(graph, ordered, resolved)
    # 5. What was not in conflict replaces what stands in its place.
    return {**resolved, **unconflicted}


def _separate(
    states: Sequence[StateMap],
) -> Steps[tuple[dict[StateKey, Event], set[EventId]]]:
    """The unconflicted state map, and the conflicted state set.

    Where one state lacks a key that another one has, the key is in conflict.
    """
    unconflicted: dict[StateKey, Event] = {}
    conflicted: set[EventId] = set()
    every: set[StateKey] = set()
    for state in states:
        every.update(state)
        yield
    for keys in slices(every, _KEYS // len(states) + 1):
        for key in keys:
            events = [state.get(key) for state in states]
            known = {event.event_id: event for event in events if event is not None}
            if len(known) == 1 and None not in events:
                unconflicted[key] = next(iter(known.values()))
            else:
                conflicted.update(known)
        yield
    return unconflicted, conflicted


def _power_events(graph: AuthGraph, candidates: set[EventId]) -> set[EventId]:
    """The power events, and those candidates that authorise them."""
    chosen = {each for each in candidates if _is_power_event(graph, each)}
    waiting = list(chosen)
    while waiting:
        cited = candidates.intersection(graph.cited_by(waiting.pop()))
        waiting += cited - chosen
        chosen |= cited
    return chosen


def _is_power_event(graph: AuthGraph, event_id: EventId) -> bool:
    """Whether an event may take away what users can do: levels, rules, kicks, bans."""
    event = graph.event(event_id)
    if key_of(event) in {POWER_LEVELS, JOIN_RULES}:
        return True
    if key_of(event) == CREATE:
        return graph.switches.creates_are_power_events
    return (
        event.type == "m.room.member"
        and membership_of(event) in {"leave", "ban"}
        and event.state_key != event.sender.user_id
    )


def _apply(
    graph: AuthGraph, ordered: Iterable[Event], state: StateMap
) -> Steps[dict[StateKey, Event]]:
    """The iterative auth checks: each event that the state so far allows joins it.

    What the state so far lacks, the event's own auth events supply.
    """
    resolved = dict(state)
    for part in slices(ordered, _CHECKS):
        for event in part:
            _check(graph, event, resolved)
        yield
    return resolved


def _check(graph: AuthGraph, event: Event, resolved: dict[StateKey, Event]) -> None:
    key = key_of(event)
    if key is None or _is_barred(graph, event):
        return
    supplied = graph.auth_state(event)
    for each in auth_keys_of(event):
        if each in resolved:
            supplied[each] = resolved[each]
    with suppress(NotAllowed):
        check_state_dependent(event, supplied, graph.switches)
        resolved[key] = event


def _is_barred(graph: AuthGraph, event: Event) -> bool:
    is_rejected = event.event_id in graph.rejected
    return is_rejected and not graph.switches.rejected_are_candidates
