"""The states of one room, each as the difference from an earlier one.

Rules: a state has a number and never changes. The differences that lie between a state
and a complete one never outgrow a state, so that reading a state costs little more than
its length, and all states of a room of n events take memory for about two n entries.

Theory of operation. Where an event changes a state, the new state is noted as that one
change. Once the changes since the last complete state are more than the state has
entries, a complete state is noted instead. The states that were used last are kept as
maps.

Specification: Server-server API, "Room State Resolution".
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from homeserver.net.cooperate import Pace
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, UserId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.state import StateKey, StateMap, key_of, users_with
from homeserver.protocol.rooms.state_resolution import resolution
from homeserver.storage.room_rows import StateChange

EMPTY = 0
"""The number of the state before the create event."""

_LEAST_CHANGES = 32  # so many differences are followed whatever a state's length is
_RECENT = 6  # maps: that of a room of ten thousand members takes a megabyte
_RESOLUTIONS = 64  # results of state resolution that are remembered


class _Recorded(Struct, frozen=True):
    change: StateChange
    distance: int
    """The differences from the last complete state on."""


class RoomStates:
    """The states of one room."""

    def __init__(
        self, events: Mapping[EventId, Event], stored: Iterable[StateChange] = ()
    ) -> None:
        """`events` has each event of a state; `stored` are states by their numbers."""
        self._events = events
        self._states: list[_Recorded] = []
        self._after: dict[tuple[int, EventId], int] = {}
        self._resolved: OrderedDict[frozenset[int], int] = OrderedDict()
        self._recent: OrderedDict[int, StateMap] = OrderedDict()
        for change in stored:
            self._append(change)
        self._saved = len(self._states)
        if not self._states:
            self._append(StateChange(EMPTY, None, {}))

    def __len__(self) -> int:
        return len(self._states)

    def unsaved(self) -> list[StateChange]:
        """The states since the last `mark_saved`."""
        return [each.change for each in self._states[self._saved :]]

    @property
    def saved(self) -> int:
        """How many states are stored: those of lower numbers."""
        return self._saved

    def continued(
        self, events: Mapping[EventId, Event], stored: Iterable[StateChange]
    ) -> "RoomStates":
        """The stored states, with others that another process has stored since.

        `events` has those of all.
        """
        other = RoomStates(events)
        other._states = self._states[: self._saved]
        for change in stored:
            other._append(change)
        other._saved = len(other._states)
        recent = (x for x in self._recent.items() if x[0] < self._saved)
        other._recent.update(recent)
        return other

    def mark_saved(self, saved: Sequence[StateChange]) -> None:
        """Note that states of `unsaved` are stored."""
        self._saved += len(saved)

    def map(self, number: int) -> StateMap:
        """A state by its number; it must not be changed."""
        found = self._recent.get(number)
        if found is None:
            found = self._read(number)
            self._keep(number, found)
        else:
            self._recent.move_to_end(number)
        return found

    def after(self, number: int, event: Event) -> int:
        """The number of a state after a state event."""
        key = key_of(event)
        if key is None:
            return number
        known = self._after.get((number, event.event_id))
        if known is None:
            state = {**self.map(number), key: event}
            known = self._note(number, state, {key: event.event_id})
            self._after[number, event.event_id] = known
        return known

    def add(self, state: StateMap, near: int = EMPTY) -> int:
        """The number of a state that was made elsewhere.

        `near` is the number of one that it may be like. All its events are known.
        """
        old = self.map(near)
        changes: dict[StateKey, EventId | None] = {
            key: event.event_id
            for key, event in state.items()
            if key not in old or old[key].event_id != event.event_id
        }
        changes |= {key: None for key in old if key not in state}
        return self._note(near, state, changes) if changes else near

    def joins(self, old: int, new: int) -> tuple[set[UserId], set[UserId]]:
        """The users that are joined in a new state alone, and in the old one alone."""
        before, after = self.map(old), self.map(new)
        keys = self._difference(old, new)
        keys = {x for x in keys if before.get(x) is not after.get(x)}
        were = users_with({x: before[x] for x in keys if x in before}, {"join"})
        are = users_with({x: after[x] for x in keys if x in after}, {"join"})
        return set(are) - set(were), set(were) - set(are)

    def _difference(self, one: int, other: int) -> set[StateKey]:
        """The keys for which two states may have different events."""
        keys: set[StateKey] = set()
        left = {one, other}
        while len(left) == 2:
            change = self._states[max(left)].change
            if change.base is None:
                return {*self.map(one), *self.map(other)}
            keys.update(change.changes)
            left = {min(left), change.base}
        return keys

    async def resolve(
        self, graph: AuthGraph, numbers: Iterable[int], pace: Pace
    ) -> int:
        """The number of the state where branches with these states meet.

        It is found in slices, between which `pace` lets others have their turn. Raises
        `UnknownAuthEvent` where the graph lacks an event of their auth chains.
        """
        distinct = frozenset(numbers)
        if len(distinct) < 2:
            return next(iter(distinct), EMPTY)
        known = self._resolved.get(distinct)
        if known is None:
            ordered = sorted(distinct)
            maps: list[StateMap] = []
            for each in ordered:
                await pace.pause()
                maps.append(self.map(each))
            resolved = await pace.run(resolution(graph, maps))
            known = self._resolved[distinct] = self.add(resolved, ordered[-1])
            if len(self._resolved) > _RESOLUTIONS:
                self._resolved.popitem(last=False)
        return known

    def _note(
        self, base: int, state: StateMap, changes: Mapping[StateKey, EventId | None]
    ) -> int:
        number = len(self._states)
        distance = self._states[base].distance + len(changes)
        if distance > max(_LEAST_CHANGES, len(state)):
            whole = {key: event.event_id for key, event in state.items()}
            self._append(StateChange(number, None, whole))
        else:
            self._append(StateChange(number, base, changes))
        self._keep(number, state)
        return number

    def _append(self, change: StateChange) -> None:
        distance = 0
        if change.base is not None:
            distance = self._states[change.base].distance + len(change.changes)
        self._states.append(_Recorded(change, distance))

    def _keep(self, number: int, state: StateMap) -> None:
        self._recent[number] = state
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _read(self, number: int) -> StateMap:
        path: list[StateChange] = []
        at: int | None = number
        state: dict[StateKey, Event] = {}
        while at is not None:
            known = self._recent.get(at)
            if known is not None:
                state = dict(known)
                break
            path.append(self._states[at].change)
            at = path[-1].base
        for change in reversed(path):
            for key, event_id in change.changes.items():
                if event_id is None:
                    state.pop(key, None)
                else:
                    state[key] = self._events[event_id]
        return state
