"""The auth graph of a room: which events authorise which, over events that are given.

Rules: each walk is iterative and visits an event once, so that its cost grows with the
auth chain and nothing else. Walks for state resolution go in slices. An event that is
cited and not known ends a walk: half of an auth chain resolves to another state than
the whole.

Specification: Room Versions, "State resolution", "Definitions" (2 and 12).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import cited_state
from homeserver.protocol.rooms.rules import CitedEvents, named
from homeserver.protocol.rooms.state import POWER_LEVELS, StateKey, StateMap, key_of
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.protocol.slices import Steps, run, slices

_SLICE = 200  # events that are looked at between two pauses: about half a millisecond


class UnknownAuthEvent(LookupError):
    """An event cites an auth event that is not known."""

    def __init__(self, event_id: EventId) -> None:
        super().__init__(f"the auth event {named(event_id)} is not known")
        self.event_id = event_id


@dataclass(frozen=True)
class AuthGraph:
    """The events of a room, with the auth events that each cites."""

    room_version: RoomVersion
    events: Mapping[EventId, Event] = field(repr=False)
    """At least those of the states in question, and those of their auth chains."""

    rejected: Collection[EventId] = field(default=frozenset(), repr=False)
    """Those of the events that were rejected on receipt."""

    switches: Switches = SWITCHES

    def event(self, event_id: EventId) -> Event:
        """The event of that ID; raises `UnknownAuthEvent` if it is not known."""
        try:
            return self.events[event_id]
        except KeyError:
            raise UnknownAuthEvent(event_id) from None

    def cited_by(self, event_id: EventId) -> Sequence[EventId]:
        """The auth events of an event.

        No rule looks at those of a create event: what is not known of them, or is of
        another room, counts for nothing.
        """
        event = self.event(event_id)
        if event.type != "m.room.create":
            return event.auth_event_ids
        known = [self.events[x] for x in event.auth_event_ids if x in self.events]
        return [each.event_id for each in known if each.room_id == event.room_id]

    def create_of(self, event: Event) -> Event | None:
        """The create event that an event's room ID names, which is not cited.

        None before room version 12, where room IDs name none.
        """
        if not self.room_version.has_hash_room_id:
            return None
        return self.event(EventId("$" + event.room_id[1:]))

    def auth_state(self, event: Event) -> dict[StateKey, Event]:
        """The state that an event's auth events make, without the rejected ones."""
        cited = self.cited_by(event.event_id)
        usable = [self.event(each) for each in cited if each not in self.rejected]
        return cited_state(CitedEvents(usable, self.create_of(event)))

    def power_levels_of(self, event: Event) -> Event | None:
        """The power levels among an event's auth events, if it cites some."""
        cited = map(self.event, self.cited_by(event.event_id))
        return next((each for each in cited if key_of(each) == POWER_LEVELS), None)

    def auth_chain(self, event_ids: Iterable[EventId]) -> set[EventId]:
        """What the auth events of these events reach; themselves where cited alone."""
        return run(self._chain(event_ids))

    def auth_difference(self, states: Sequence[StateMap]) -> Steps[set[EventId]]:
        """The events that are in some full auth chain, and not in all of them.

        What all states have in common is in all chains, with its auth chain. So only
        the chains of the rest are compared, as far as they lie outside of that.
        """
        own: list[set[EventId]] = []
        for state in states:
            own.append({event.event_id for event in state.values()})
            yield
        common = set[EventId].intersection(*own)
        yield
        shared = yield from self._full_chain(common)
        rest: list[set[EventId]] = []
        for each in own:
            chain = yield from self._full_chain(each - common, shared)
            rest.append(chain)
        return set[EventId]().union(*rest) - rest[0].intersection(*rest)

    def conflicted_subgraph(self, conflicted: set[EventId]) -> Steps[set[EventId]]:
        """The events on the paths of auth events from one conflicted event to another.

        The conflicted events themselves belong to it.
        """
        above: dict[EventId, list[EventId]] = {}
        chain = yield from self._chain(conflicted)
        for part in slices(chain, _SLICE):
            for event_id in part:
                for cited in self.cited_by(event_id):
                    above.setdefault(cited, []).append(event_id)
            yield
        found = yield from _reached(
            conflicted, lambda event_id: above.get(event_id, ()), frozenset()
        )
        return found

    def _full_chain(
        self, own: Collection[EventId], known: Collection[EventId] = frozenset()
    ) -> Steps[set[EventId]]:
        """The full auth chain of a state of these events, without what is known."""
        chain = yield from self._chain(own, known)
        if self.switches.states_are_in_their_chains:
            chain.update(each for each in own if each not in known)
        return chain

    def _chain(
        self, event_ids: Iterable[EventId], known: Collection[EventId] = frozenset()
    ) -> Steps[set[EventId]]:
        """As `auth_chain`, without known events: all that they reach is known too."""
        cited: set[EventId] = set()
        for part in slices(event_ids, _SLICE):
            cited.update(x for one in part for x in self.cited_by(one))
            yield
        found = yield from _reached(cited - set(known), self.cited_by, known)
        return found


def _reached(
    starts: Iterable[EventId],
    links: Callable[[EventId], Iterable[EventId]],
    known: Collection[EventId],
) -> Steps[set[EventId]]:
    """The events to which links lead from these events, themselves included.

    It goes no further at events that are known.
    """
    reached = set(starts)
    waiting = list(reached)
    while waiting:
        for _ in range(min(_SLICE, len(waiting))):
            for linked in links(waiting.pop()):
                if linked not in reached and linked not in known:
                    reached.add(linked)
                    waiting.append(linked)
        yield
    return reached
