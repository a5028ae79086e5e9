"""The two orderings in which state resolution v2 applies events.

Rules: each ordering is total, so that it does not depend on the order of its input.
It is made in slices.
Event IDs are compared by their bytes. Times come from the wire: any integer.

Specification: Room Versions, version 2, "Reverse topological power ordering" and
"Mainline ordering".
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from math import inf

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.power_levels import (
    Power,
    PowerLevels,
    UnreadableLevel,
)
from homeserver.protocol.rooms.state import CREATE, POWER_LEVELS, state_of
from homeserver.protocol.rooms.versions import rules_of
from homeserver.protocol.slices import Steps, slices

_SLICE = 50  # events between two pauses: power levels are read for each

_ByPower = tuple[Power, int, bytes]


def order_by_power(graph: AuthGraph, chosen: set[EventId]) -> Steps[list[Event]]:
    """Order the chosen events by the reverse topological power ordering.

    An event comes after those of its auth events that are chosen too. Of the events
    that may come next, the one whose sender has the most power goes first; then the
    earliest; then the one of the least ID.
    """
    # Kahn's algorithm: a heap holds the events that wait for no other one.
    waits_for, cited_by = yield from _waiting(graph, chosen)
    ready: list[_ByPower] = []
    for part in slices(waits_for, _SLICE):
        ready += (_rank(graph, each) for each in part if not waits_for[each])
        yield
    heapify(ready)
    ordered: list[Event] = []
    while ready:
        for _ in range(min(_SLICE, len(ready))):
            event = graph.event(EventId(heappop(ready)[-1].decode()))
            ordered.append(event)
            for each in cited_by.get(event.event_id, ()):
                waits_for[each] -= 1
                if waits_for[each] == 0:
                    heappush(ready, _rank(graph, each))
        yield
    return ordered


def _waiting(
    graph: AuthGraph, chosen: set[EventId]
) -> Steps[tuple[dict[EventId, int], dict[EventId, list[EventId]]]]:
    """For how many of its auth events each chosen event waits, and what cites each."""
    waits_for: dict[EventId, int] = {}
    cited_by: dict[EventId, list[EventId]] = {}
    for part in slices(chosen, _SLICE):
        for each in part:
            cited = chosen.intersection(graph.cited_by(each))
            waits_for[each] = len(cited)
            for other in cited:
                cited_by.setdefault(other, []).append(each)
        yield
    return waits_for, cited_by


def _rank(graph: AuthGraph, event_id: EventId) -> _ByPower:
    event = graph.event(event_id)
    power = sender_power(graph, event)
    return (-power, event.origin_server_ts, event_id.encode())


def sender_power(graph: AuthGraph, event: Event) -> Power:
    """The power of an event's sender by the event's own auth events; else 0."""
    cited = state_of(map(graph.event, graph.cited_by(event.event_id)))
    create = graph.create_of(event) or cited.get(CREATE)
    levels = PowerLevels(cited.get(POWER_LEVELS), create, rules_of(graph.room_version))
    try:
        return levels.of(event.sender.user_id)
    except UnreadableLevel:
        return 0  # such power levels give no power


def order_by_mainline(
    graph: AuthGraph, event_ids: Iterable[EventId], power_levels: Event | None
) -> Steps[list[Event]]:
    """Order events by the mainline of these power levels.

    Those that rest on the oldest power levels of the mainline go first, and before
    them those that rest on none of it; then the earliest; then the least ID.
    """
    position = yield from _mainline(graph, power_levels)
    ranked: list[tuple[float, int, bytes]] = []
    for part in slices(event_ids, _SLICE):
        for event in map(graph.event, part):
            closest = _closest(graph, event, position)
            ranked.append((-closest, event.origin_server_ts, event.event_id.encode()))
        yield
    return [graph.event(EventId(each.decode())) for *_, each in sorted(ranked)]


def _mainline(
    graph: AuthGraph, power_levels: Event | None
) -> Steps[dict[EventId, float]]:
    """Power levels, those that they cite, and so on, each with its position."""
    position: dict[EventId, float] = {}
    while power_levels is not None and power_levels.event_id not in position:
        position[power_levels.event_id] = len(position)
        power_levels = graph.power_levels_of(power_levels)
        yield
    return position


def _closest(graph: AuthGraph, event: Event, position: dict[EventId, float]) -> float:
    """The position of the closest event of the mainline; infinity if there is none.

    What is met on the way gets that position too, so that no path is walked twice.
    In room version 2 senders choose event IDs, and a path may lead back into itself.
    """
    path = []
    power_levels = graph.power_levels_of(event)
    while power_levels is not None and power_levels.event_id not in position:
        path.append(power_levels.event_id)
        position[power_levels.event_id] = inf
        power_levels = graph.power_levels_of(power_levels)
    found = inf if power_levels is None else position[power_levels.event_id]
    position.update(dict.fromkeys(path, found))
    return found
