"""What another server says of a room, taken into it: auth chains, states, old events.

Rules: an event is entered after what authorises it. Of a reply, only what the event or
its state rests on is entered. A state is entered whole, as half of one is another
state. An auth event that a reply omits is asked for by its ID. Nothing ends where that
is in vain: what is still missing then says what has failed.

Specification: Server-server API, "Retrieving events", "Backfilling and retrieving
missing events".
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from msgspec import Struct

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import state_of
from homeserver.rooms.entry import Entry
from homeserver.rooms.missing import Missing
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.rooms.source import MAX_STATE, Events, Source
from homeserver.rooms.turn import Turn

_SINGLE = 30  # events that are fetched one by one, at once


class Intake(Struct, frozen=True):
    """One server's answers, and the room that takes them in."""

    rooms: Rooms
    room: Room
    source: Source

    async def fetch_auth(self, event: Event) -> None:
        """Fetch the auth chain of an event, as far as the room lacks it.

        Raises as `Source.auth_chain`.
        """
        lacks = Missing.of(self.room, event).auth
        if lacks:
            came = await self.source.auth_chain(event.event_id)
            for each in lacks:
                if each not in came:
                    came |= await self.source.event(each)
            await self._know(_chain(lacks, came))

    async def enter_at_state(self, event: Event, *, is_old: bool = False) -> None:
        """Enter an event at the state before it that the other server says.

        It is not entered if that state is not to be had whole. `is_old` is as in
        `Room.judge`. Raises `Unreachable` and `Refused`.
        """
        room = self.room
        ids = await self.source.state_ids(event.event_id)
        lacks = [x for x in {*ids.state, *ids.auth_chain} if x not in room.entries]
        came: Events = {}
        if len(lacks) > _SINGLE:
            came = await self.source.state(event.event_id)
        else:
            for each in lacks:
                came |= await self.source.event(each)
        await self._know(_chain(ids.state, came))
        if not ids.state or any(each not in room.entries for each in ids.state):
            return
        await self.fetch_auth(event)

        async def place(turn: Turn) -> None:
            # It may have been read again since: then it lacks what was not written.
            entries = turn.room.entries
            if any(each not in entries for each in ids.state):
                return
            found = (await turn.room.read(ids.state)).values()
            state = state_of(
                each
                for each in found
                if entries[each.event_id].outcome is not Outcome.REJECTED
            )
            await turn.place(event, state, is_old=is_old)

        with suppress(UnknownAuthEvent):
            await self.rooms.change(room.room_id, place)

    async def take(self, event: Event, *, is_old: bool = False) -> Entry | None:
        """Enter an event after those that it cites; None where auth events lack."""
        with suppress(UnknownAuthEvent):
            return await self.rooms.change(
                self.room.room_id, lambda turn: turn.take(event, is_old=is_old)
            )
        return None

    async def _know(self, events: Events) -> None:
        """Enter events as outliers, with those that they cite."""
        known = self.room.entries
        found = dict(events)
        lacking = deque(x for x in _cited(events) if x not in found and x not in known)
        for _ in range(_SINGLE):
            if not lacking:
                break
            came = await self.source.event(lacking.popleft())
            found |= came
            lacking += (x for x in _cited(came) if x not in found and x not in known)
        if found:
            await self.rooms.check_space()
            lacking_events = list(found.values())[:MAX_STATE]
            await self.rooms.change(
                self.room.room_id, lambda turn: turn.know_all(lacking_events)
            )


def reached(
    starts: Iterable[EventId],
    events: Mapping[EventId, Event],
    links: Callable[[Event], Iterable[EventId]],
) -> Events:
    """The events to which links lead from some, themselves included, among others."""
    found: Events = {}
    waiting = list(starts)
    while waiting:
        event = events.get(waiting.pop())
        if event is not None and event.event_id not in found:
            found[event.event_id] = event
            waiting += links(event)
    return found


def _chain(starts: Iterable[EventId], events: Events) -> Events:
    """Events that came, with those of them that authorise them."""
    return reached(starts, events, lambda event: event.auth_event_ids)


def _cited(events: Events) -> list[EventId]:
    """The auth events of events, each once."""
    return list(dict.fromkeys(x for e in events.values() for x in e.auth_event_ids))
