"""Filling the gaps before an event: what it cites, asked of the server that sent it.

Rules: one walk of a room at a time, each with a bound on requests, events and seconds.
All requests go to the server that sent the event, so that no server makes us ask
another one. What the room still lacks after a walk is not taken in.

How a walk goes:

1. `get_missing_events`, a few times, for the events before it that the room lacks.
2. For some that still lack, `event` and `state_ids`, then `event` or `state` for what
   the room lacks of that state. Such an event is entered at the state that the server
   says, and is judged by it: as one branch, which state resolution weighs.
3. The auth events that are missing: `event_auth`, then `event` for each.

Specification: Server-server API, "Backfilling and retrieving missing events".
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.net.cause import Cause
from homeserver.net.time_limit import within
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.errors import Overloaded
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import state_of
from homeserver.rooms.missing import Missing
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.rooms.source import MAX_STATE, Events, Source

_WALK_SECONDS = 25.0  # the sender of a transaction waits a minute, also for its keys
_ROUNDS = 5  # of get_missing_events
_STATES = 3  # that are fetched in one walk
_SINGLE = 30  # events that are fetched one by one
_MAX_WAITING = 4  # walks of one room that wait


class Gaps:
    """Fills the gaps in the rooms of one of our servers."""

    def __init__(
        self,
        rooms: Rooms,
        source_of: Callable[[Room, ServerName, Cause], Source],
        clock: IReactorTime,
    ) -> None:
        """`source_of` makes the source of a room's events at another server."""
        self._rooms = rooms
        self._source_of = source_of
        self._clock = clock
        self._walks: dict[RoomId, defer.DeferredLock] = {}

    async def fill(self, event: Event, origin: ServerName, cause: Cause) -> None:
        """Fetch what an event of a known room cites and the room lacks.

        It is done as far as `origin` answers in time. Raises `StoreUnavailable`.
        """
        async with self._turn(event.room_id) as has_turn:
            if not has_turn:
                return
            room = await self._rooms.known(event.room_id)
            walk = _Walk(self._rooms, room, self._source_of(room, origin, cause))
            # What is still missing says what has failed.
            with suppress(defer.TimeoutError, Unreachable, Refused, Overloaded):
                await within(_WALK_SECONDS, self._clock, walk.fill(event))

    @asynccontextmanager
    async def _turn(self, room_id: RoomId) -> AsyncIterator[bool]:
        """The turn of a walk; False if too many wait for one."""
        lock = self._walks.setdefault(room_id, defer.DeferredLock())
        if len(lock.waiting) >= _MAX_WAITING:
            yield False
            return
        await lock.acquire()
        try:
            yield True
        finally:
            if not lock.waiting:
                self._walks.pop(room_id, None)
            lock.release()


class _Walk(Struct, frozen=True):
    """One walk, for one event."""

    rooms: Rooms
    room: Room
    source: Source

    async def fill(self, event: Event) -> None:
        chain: Events = {event.event_id: event}
        with suppress(Refused):  # a server may know this route not, and others
            await self._go_back(chain)
        for event_id in self._lacks(chain)[:_STATES]:
            with suppress(Refused):
                await self._enter_at_state(event_id)
        for each in sorted(chain.values(), key=lambda x: (x.depth, x.event_id)):
            await self._fetch_auth(each)
            if each is not event and not Missing.of(self.room, each):
                await self._take(each)

    async def _go_back(self, chain: Events) -> None:
        """Add to a chain what leads from it to the events that are known."""
        for _ in range(_ROUNDS):
            wanted = self._lacks(chain)
            if not wanted:
                return
            came = await self.source.missing_events(self.room.extremities, list(chain))
            found = _reached(wanted, came)
            if not found:
                return
            chain |= found

    def _lacks(self, chain: Mapping[EventId, Event]) -> list[EventId]:
        """The events before a chain after which no state is known."""
        cited = [x for event in chain.values() for x in event.prev_event_ids]
        return [
            each
            for each in dict.fromkeys(cited)
            if each not in chain and self.room.number_after(each) is None
        ]

    async def _fetch_auth(self, event: Event) -> None:
        lacks = Missing.of(self.room, event).auth
        if lacks:
            came = await self.source.auth_chain(event.event_id)
            for each in lacks:
                if each not in came:
                    came |= await self.source.event(each)
            await self._know(came)

    async def _enter_at_state(self, event_id: EventId) -> None:
        """Enter an event at the state before it that the other server says."""
        room = self.room
        known = await room.read([event_id]) or await self.source.event(event_id)
        event = known.get(event_id)
        if event is None:
            return
        ids = await self.source.state_ids(event_id)
        lacks = [x for x in {*ids.state, *ids.auth_chain} if x not in room.entries]
        came: Events = {}
        if len(lacks) > _SINGLE:
            came = await self.source.state(event_id)
        else:
            for each in lacks:
                came |= await self.source.event(each)
        await self._know(came)
        if not ids.state or any(each not in room.entries for each in ids.state):
            return  # half a state is no state
        await self._fetch_auth(event)
        found = (await room.read(ids.state)).values()
        state = state_of(
            each
            for each in found
            if room.entries[each.event_id].outcome is not Outcome.REJECTED
        )
        with suppress(UnknownAuthEvent):
            async with self.rooms.turn(room.room_id) as turn:
                await turn.place(event, state, is_old=False)

    async def _know(self, events: Events) -> None:
        if events:
            await self.rooms.check_space()
            async with self.rooms.turn(self.room.room_id) as turn:
                await turn.know_all(list(events.values())[:MAX_STATE])

    async def _take(self, event: Event) -> None:
        with suppress(UnknownAuthEvent):
            async with self.rooms.turn(self.room.room_id) as turn:
                await turn.take(event)


def _reached(starts: list[EventId], events: Events) -> Events:
    """The events to which `prev_events` lead from some, among those that came.

    So nothing is taken from a reply that has nothing to do with the question.
    """
    found: Events = {}
    waiting = list(starts)
    while waiting:
        event = events.get(waiting.pop())
        if event is not None and event.event_id not in found:
            found[event.event_id] = event
            waiting += event.prev_event_ids
    return found
