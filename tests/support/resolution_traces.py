"""What state resolution does on its way, recorded while it runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms import state_resolution, state_resolution_v1
from homeserver.protocol.rooms.auth_events import auth_keys_of
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.authorization import Allowed, check_state_dependent
from homeserver.protocol.rooms.orderings import order_by_mainline, order_by_power
from homeserver.protocol.rooms.state import StateKey, StateMap, state_of
from homeserver.protocol.rooms.state_resolution import resolve
from homeserver.protocol.rooms.switches import Switches
from homeserver.protocol.rooms.versions import StateResolution, rules_of
from homeserver.protocol.slices import Steps


@dataclass(frozen=True)
class Judged:
    """One check by the rules."""

    event: Event
    state: StateMap
    """What the event was judged by."""

    supplied: frozenset[StateKey]
    """The keys of it that the event's own auth events supplied."""


@dataclass
class Trace:
    """One resolution: what was judged by what, and in which order."""

    graph: AuthGraph
    states: Sequence[StateMap]
    resolved: StateMap = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)
    by_power: list[Event] = field(default_factory=list)
    by_mainline: list[Event] = field(default_factory=list)
    power_levels: Event | None = None
    """Those that the mainline begins with."""


def traced(graph: AuthGraph, states: Sequence[StateMap]) -> Trace:
    """Resolve states, and record how."""
    trace = Trace(graph, states)
    reached = set(agreed(states)) if _begins_with_agreed(graph) else set()

    def check(event: Event, state: StateMap, switches: Switches) -> Allowed:
        supplied = frozenset(auth_keys_of(event)).intersection(state) - reached
        trace.judged.append(Judged(event, dict(state), supplied))
        allowed = check_state_dependent(event, state, switches)
        reached.update(state_of([event]))
        return allowed

    def power(graph: AuthGraph, chosen: set[EventId]) -> Steps[list[Event]]:
        trace.by_power = yield from order_by_power(graph, chosen)
        return trace.by_power

    def mainline(
        graph: AuthGraph, event_ids: Iterable[EventId], power_levels: Event | None
    ) -> Steps[list[Event]]:
        trace.power_levels = power_levels
        trace.by_mainline = yield from order_by_mainline(graph, event_ids, power_levels)
        return trace.by_mainline

    with (
        patch.object(state_resolution, "check_state_dependent", check),
        patch.object(state_resolution_v1, "check_state_dependent", check),
        patch.object(state_resolution, "order_by_power", power),
        patch.object(state_resolution, "order_by_mainline", mainline),
    ):
        trace.resolved = resolve(graph, states)
    return trace


def agreed(states: Sequence[StateMap]) -> dict[StateKey, Event]:
    """The unconflicted state map: what all states have in common."""
    first, *others = states
    return {
        key: event
        for key, event in first.items()
        if all(event is other.get(key) for other in others)
    }


def _begins_with_agreed(graph: AuthGraph) -> bool:
    algorithm = rules_of(graph.room_version).state_resolution
    return algorithm is not StateResolution.V2_1
