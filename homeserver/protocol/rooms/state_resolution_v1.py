"""State resolution v1, of room version 1: by depth, and by the hash of event IDs.

Rules: it looks at no auth chain. A key that some states lack is not in conflict.

Specification: Room Versions, version 1, "State resolution".
"""

import hashlib
from collections import ChainMap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import NotAllowed, check_state_dependent
from homeserver.protocol.rooms.state import POWER_LEVELS, StateKey, StateMap, state_of
from homeserver.protocol.rooms.switches import Switches
from homeserver.protocol.slices import Steps, slices

_KEYS = 1000  # of all states together, between two pauses


def resolve_v1(
    states: Sequence[StateMap], switches: Switches
) -> Steps[dict[StateKey, Event]]:
    """The state that holds where branches with these states meet, in slices."""
    resolved, conflicts = yield from _separate(states)
    # Power levels first, then join rules, then members, each by what is resolved then.
    for keys in (
        [key for key in conflicts if key == POWER_LEVELS],
        [key for key in conflicts if key[0] == "m.room.join_rules"],
        [key for key in conflicts if key[0] == "m.room.member"],
    ):
        rules = _Rules(resolved, switches)
        found: dict[StateKey, Event] = {}
        for key in keys:
            found[key] = rules.last_allowed(conflicts.pop(key))
            yield
        resolved |= found
    rules = _Rules(resolved, switches)
    found = {}
    for key, events in conflicts.items():
        found[key] = rules.deepest_allowed(events)
        yield
    return resolved | found


def _separate(
    states: Sequence[StateMap],
) -> Steps[tuple[dict[StateKey, Event], dict[StateKey, list[Event]]]]:
    """What is not in conflict, and the events of each key that is."""
    every: set[StateKey] = set()
    for state in states:
        every.update(state)
        yield
    agreed: dict[StateKey, Event] = {}
    conflicts: dict[StateKey, list[Event]] = {}
    for keys in slices(every, _KEYS // len(states) + 1):
        for key in keys:
            found = [state[key] for state in states if key in state]
            events = {each.event_id: each for each in found}
            if len(events) == 1:
                agreed[key] = found[0]
            else:
                conflicts[key] = list(events.values())
        yield
    return agreed, conflicts


@dataclass(frozen=True, slots=True)
class _Rules:
    """The authorization rules by what is resolved so far."""

    resolved: dict[StateKey, Event]
    switches: Switches

    def last_allowed(self, events: Iterable[Event]) -> Event:
        """Begin with the least deep one; each that it allows takes its place."""
        best, *others = sorted(events, key=_depth_order, reverse=True)
        for event in others:
            if not self._allow(event, ChainMap(state_of([best]), self.resolved)):
                break
            best = event
        return best

    def deepest_allowed(self, events: Iterable[Event]) -> Event:
        """The first one that is allowed, from the deepest on.

        Where none is, the text is silent; Synapse takes the least deep one.
        """
        *others, last = sorted(events, key=_depth_order)
        allowed = (event for event in others if self._allow(event, self.resolved))
        return next(allowed, last)

    def _allow(self, event: Event, state: StateMap) -> bool:
        try:
            check_state_dependent(event, state, self.switches)
        except NotAllowed:
            return False
        return True


def _depth_order(event: Event) -> tuple[int, bytes]:
    """The deepest first, ties by the SHA-1 of the event ID."""
    digest = hashlib.sha1(event.event_id.encode(), usedforsecurity=False).digest()
    return -event.depth, digest
