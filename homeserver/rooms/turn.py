"""A change of a room, in its turn: events taken in, and written in one commit.

Rules: one change of a room at a time. The room in memory changes at once, and its store
at the end of the turn. If that fails, the room in memory is discarded and read again.
What a turn queues for other servers is part of its commit.

Specification: Room Versions, "Handling redactions".
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.receipt import Receipt
from homeserver.protocol.rooms.redactions import ground_of
from homeserver.protocol.rooms.state import StateMap
from homeserver.rooms.entry import Entry
from homeserver.rooms.room import REDACTION, Room
from homeserver.storage.room_rows import RoomChange


class Turn:
    """What changes in a room now."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._events: dict[EventId, Event] = {}
        self._outgoing: list[tuple[ServerName, bytes]] = []
        self._redactions: list[tuple[EventId, EventId]] = []
        self._has_begun = False

    async def take(
        self, event: Event, before: int | None = None, *, is_old: bool = False
    ) -> Entry:
        """Judge an event and enter it, as `Room.take` does.

        A redaction applies from then on. Raises `UnknownAuthEvent`.
        """
        known = self.room.entries.get(event.event_id)
        async with self._cited(event):
            entry = await self.room.take(event, before, is_old=is_old)
        if entry is not known:
            self._events[event.event_id] = event
            if entry.outcome.is_shown:
                await self._redact(event)
        return entry

    async def know(self, event: Event) -> Entry:
        """Enter an event as an outlier; raises `UnknownAuthEvent`."""
        known = self.room.entries.get(event.event_id)
        async with self._cited(event):
            entry = await self.room.know(event)
        if entry is not known:
            self._events[event.event_id] = event
        return entry

    async def know_all(self, events: Collection[Event]) -> list[Event]:
        """Enter events as outliers, in whatever order they come.

        Others have their turn meanwhile. Returns those that cannot be judged, as they
        cite what is not known.
        """
        waiting = {each.event_id: each for each in events}
        order = _by_auth_events(waiting)
        left: list[Event] = []
        for event in order:
            await self.room.pace.pause()
            try:
                await self.know(event)
            except UnknownAuthEvent:
                left.append(event)
        return left

    async def place(
        self, event: Event, state: StateMap, *, is_old: bool = True
    ) -> Entry:
        """Enter an event at the state before it that another server says.

        All events of the state are known. It is one branch beside the states after
        those events before it that are known here. `is_old` is as in `Room.judge`.
        Raises `UnknownAuthEvent`.
        """
        room = self.room
        said = room.states.add(state, room.current_number)
        after = [room.number_after(each) for each in event.prev_event_ids]
        numbers = {said, *(each for each in after if each is not None)}
        before = await room.states.resolve(room.graph, numbers, room.pace)
        return await self.take(event, before, is_old=is_old)

    async def begin(self, event: Event, state: StateMap) -> Entry:
        """Enter the first event of ours in a room of others: our join.

        The current state follows from it. `state` is the state before it, of which all
        events are known. What was the end of a room that we had left is none any more.
        Raises `UnknownAuthEvent`.
        """
        self._has_begun = True
        before = self.room.states.add(state, self.room.current_number)
        self.room.current_number = before
        self.room.extremities = frozenset()
        return await self.take(event, before)

    def send(self, event: Event, destinations: Collection[ServerName]) -> None:
        """Queue an event for other servers."""
        names = sorted(destinations, key=str)
        self._outgoing += [(each, event.encoded) for each in names]

    async def judge(self, event: Event) -> Receipt:
        """The outcome that an event would have; raises `UnknownAuthEvent`."""
        before = await self.room.number_before(event.prev_event_ids)
        async with self._cited(event):
            return self.room.judge(event, before)

    @property
    def has_changed(self) -> bool:
        """Whether the room in memory may have what is not in the store."""
        return self._has_begun or bool(self._events or self._redactions)

    @property
    def has_outgoing(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._outgoing)

    def written(self) -> RoomChange | None:
        """What is to be written; None if nothing has changed."""
        if not self.has_changed and not self._outgoing:
            return None
        room = self.room
        joined, left = room.states.joins(room.members_number, room.current_number)
        return RoomChange(
            room.room_id,
            room.room_version.version,
            room.revision,
            list(room.extremities),
            room.current_number,
            room.states.unsaved(),
            [room.entries[each].stored(x) for each, x in self._events.items()],
            self._redactions,
            self._outgoing,
            sorted(joined, key=str),
            sorted(left, key=str),
        )

    @asynccontextmanager
    async def _cited(self, event: Event) -> AsyncIterator[None]:
        """Hold the cited events that are no state events, so that rules refuse them.

        They are messages, of which memory does not keep the content.
        """
        held = self.room.events
        others = [x for x in event.auth_event_ids if x not in held]
        found = await self._read(others) if others else {}
        held.update(found)
        try:
            yield
        finally:
            for each in found.keys() - self.room.extremities:
                held.pop(each, None)

    async def _read(self, event_ids: Collection[EventId]) -> dict[EventId, Event]:
        """Events of the room, also those that are not written yet."""
        new = {each: self._events[each] for each in event_ids if each in self._events}
        others = [each for each in event_ids if each not in new]
        return new | await self.room.read(others)

    async def _redact(self, event: Event) -> None:
        """Apply a new redaction, or those that have waited for a new event."""
        room = self.room
        waiting = room.waiting_redactions.pop(event.event_id, [])
        pairs = [(event.event_id, each) for each in waiting]
        if event.type == REDACTION:
            target = event.redacts
            if isinstance(target, str) and target in room.entries:
                pairs.append((EventId(target), event.event_id))
            elif isinstance(target, str):
                waiting = room.waiting_redactions.setdefault(EventId(target), [])
                waiting.append(event.event_id)
        for target_id, redaction_id in pairs:
            await self._apply(target_id, redaction_id)

    async def _apply(self, target_id: EventId, redaction_id: EventId) -> None:
        room = self.room
        entry = room.entries[target_id]
        if entry.redacted_by is not None or not entry.outcome.is_shown:
            return
        found = await self._read([target_id, redaction_id])
        target, redaction = found.get(target_id), found.get(redaction_id)
        state = room.state_before(redaction_id)
        if target is None or redaction is None or state is None:
            return
        with suppress(ProtocolError):
            if ground_of(redaction, target, state) is not None:
                room.entries[target_id] = replace(entry, redacted_by=redaction_id)
                self._redactions.append((target_id, redaction_id))


def _by_auth_events(events: dict[EventId, Event]) -> list[Event]:
    """Events, each after those of its auth events that are among them.

    Create events come first, as version 12 does not cite them. Events that cite each
    other in a circle, which only IDs that are no hashes allow, come in any order.
    """
    ordered: list[Event] = []
    seen: set[EventId] = set()
    for start in events.values():
        path = [(start, iter(start.auth_event_ids))]
        if start.event_id in seen:
            continue
        seen.add(start.event_id)
        while path:
            event, cited = path[-1]
            following = next((x for x in cited if x in events and x not in seen), None)
            if following is None:
                ordered.append(event)
                path.pop()
            else:
                seen.add(following)
                path.append((events[following], iter(events[following].auth_event_ids)))
    return sorted(ordered, key=lambda each: each.type != "m.room.create")
