"""A room that we take part in: its events, their outcomes, and the states.

Rules: an event is taken in after the events that it cites, as far as they are known.
What became of it stays, unless it was an outlier: that one is judged when its state is
known. The room is in memory without the content of its messages, which are read from
the store. `Turn` alone changes a room, and writes each change.

| an event with | is taken in as |
|---|---|
| known auth events, and known states after its `prev_events` | what the checks decide |
| known auth events alone | outlier: it may authorise others |
| unknown auth events | nothing: `UnknownAuthEvent` |

Specification: Server-server API, "Checks performed on receipt of a PDU", "Rejection",
"Soft failure".
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec
from twisted.internet.defer import DeferredLock

from homeserver.net.cooperate import Pace
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.policy import apply_policy
from homeserver.protocol.rooms.receipt import Outcome, Receipt, States, judge
from homeserver.protocol.rooms.redactions import redacted
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.rooms.ends import Ends
from homeserver.rooms.entry import Entry
from homeserver.rooms.resident_servers import ResidentServers
from homeserver.rooms.states import EMPTY, RoomStates
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.room_rows import RoomChange

REDACTION = "m.room.redaction"


class Room:
    """One room, as one of our servers knows it."""

    def __init__(
        self,
        room_id: RoomId,
        room_version: RoomVersion,
        store: RoomStore,
        pace: Pace,
        switches: Switches = SWITCHES,
    ) -> None:
        """A room without events; `pace` is that of the work on all events."""
        self.room_id = room_id
        self.room_version = room_version
        self.switches = switches
        self.entries: dict[EventId, Entry] = {}
        """All events, in the order of arrival."""

        self.events: dict[EventId, Event] = {}
        """The state events, and others that are needed often."""

        self.states = RoomStates(self.events)
        self.extremities: frozenset[EventId] = frozenset()
        """The forward extremities: what the next event comes after."""

        self.current_number = EMPTY
        self.members_number = EMPTY
        """The state whose joined users the store has as such."""

        self.revision = 0
        """As the store has it: each change adds one. 0 before the first time."""

        self.waiting_redactions: dict[EventId, list[EventId]] = {}
        """The accepted redactions of each event that is not known yet."""

        self.is_stale = False
        """Whether it is to be read again, as the store has something else."""

        self.lock = DeferredLock()
        self._store = store
        self.pace = pace
        self._rejected: set[EventId] = set()
        self._ends = Ends(self.entries, self.events)
        self._residents = ResidentServers(self._state)
        self.graph = AuthGraph(room_version, self.events, self._rejected, switches)

    # What is known of it.

    @property
    def current(self) -> StateMap:
        """The current state."""
        return self.states.map(self.current_number)

    @property
    def residents(self) -> frozenset[ServerName]:
        """The servers with a joined user."""
        return self.residents_at(self.current_number)

    def residents_at(self, number: int) -> frozenset[ServerName]:
        """The servers with a joined user in the state of that number."""
        return self._residents.at(number)

    def _state(self, number: int) -> StateMap:
        return self.states.map(number)  # `states` is another one when a room is read

    def has_member(self, server_name: ServerName) -> bool:
        """Whether a user of a server is joined now."""
        return server_name in self.residents

    def state_before(self, event_id: EventId) -> StateMap | None:
        """The state before an event of the room; None if it is not known."""
        entry = self.entries.get(event_id)
        if entry is None or entry.before is None:
            return None
        return self.states.map(entry.before)

    def number_after(self, event_id: EventId) -> int | None:
        """The number of the state after an event; None if it is not known."""
        entry = self.entries.get(event_id)
        return None if entry is None else entry.after

    def auth_chain(self, events: Iterable[Event]) -> list[Event]:
        """What the auth events of events reach, oldest first.

        Raises `UnknownAuthEvent`.
        """
        cited: set[EventId] = set()
        for event in events:
            if event.type != "m.room.create":
                cited.update(event.auth_event_ids)
        chain = cited | self.graph.auth_chain(cited)
        found = [self.graph.event(each) for each in chain]
        return sorted(found, key=lambda each: self.entries[each.event_id].position)

    async def read(self, event_ids: Collection[EventId]) -> dict[EventId, Event]:
        """Events of the room, as they came, as far as it has them."""
        known = [each for each in event_ids if each in self.entries]
        found = {each: self.events[each] for each in known if each in self.events}
        others = [each for each in known if each not in found]
        if others:
            texts = await self._store.texts(self.room_id, others)
            found |= {each: self.parse(text) for each, text in texts.items()}
        return found

    async def shown(self, event_ids: Sequence[EventId]) -> list[Event]:
        """Events of the room as they are served, in this order: redactions apply."""
        found = await self.read(event_ids)
        return [self.as_served(found[each]) for each in event_ids if each in found]

    def as_served(self, event: Event) -> Event:
        """An event of the room as it is served: redacted, if a redaction applies."""
        entry = self.entries.get(event.event_id)
        is_redacted = entry is not None and entry.redacted_by is not None
        return redacted(event) if is_redacted else event

    # What becomes of an event. `Turn` alone calls the methods below that change it.

    async def number_before(self, prev: Iterable[EventId]) -> int | None:
        """The number of the state before an event with these `prev_events`.

        None if the state after one of them is not known.
        """
        numbers: set[int] = set()
        for each in prev:
            number = self.number_after(each)
            if number is None:
                return None
            numbers.add(number)
        return await self.states.resolve(self.graph, numbers, self.pace)

    def judge(
        self, event: Event, before: int | None, *, is_old: bool = False
    ) -> Receipt:
        """The outcome that an event would have, after a state of that number.

        An old one, that is of the room's past, is not judged by the current state. No
        policy server has to sign it, nor the join that begins a room here. Raises
        `UnknownAuthEvent`.
        """
        number = before if is_old and before is not None else self.current_number
        current = self.states.map(number)
        states = States(None if before is None else self.states.map(before), current)
        receipt = judge(event, self._cited(event), states, self.switches)
        if is_old or not self.extremities:
            return receipt
        return apply_policy(receipt, event, current)

    async def take(
        self, event: Event, before: int | None = None, *, is_old: bool = False
    ) -> Entry:
        """Judge an event and enter it; one that was judged keeps its outcome.

        Without `before`, the number of the state before it follows from its
        `prev_events`. An old one is no end of the room. Raises `UnknownAuthEvent`.
        """
        known = self.entries.get(event.event_id)
        if known is not None and known.before is not None:
            return known
        if before is None:
            before = await self.number_before(event.prev_event_ids)
        if known is not None and before is None:
            return known
        return await self._enter(event, before, is_old=is_old)

    async def know(self, event: Event) -> Entry:
        """Enter an event by its auth events alone, whatever is known before it.

        Raises `UnknownAuthEvent`.
        """
        known = self.entries.get(event.event_id)
        if known is not None:
            return known
        return await self._enter(event, None, is_old=False)

    async def _enter(self, event: Event, before: int | None, *, is_old: bool) -> Entry:
        receipt = self.judge(event, before, is_old=is_old)
        outcome, after = receipt.outcome, before
        has_event = event.event_id in self.events
        if event.state_key is not None:
            self.events[event.event_id] = event
            if before is not None and outcome.sets_state:
                after = self.states.after(before, event)
                self._residents.follow(before, event, after)
        ends, current = self.extremities, self.current_number
        if outcome.may_be_cited and not is_old and after is not None:
            try:
                ends, current = await self._end(event, after)
            except BaseException:  # it is cancelled, or an auth chain has a gap
                if not has_event:
                    self.events.pop(event.event_id, None)
                raise
        # From here on all of it changes at once: nothing awaits.
        known = self.entries.get(event.event_id)
        position = len(self.entries) if known is None else known.position
        entry = Entry.of(event, position, receipt, (before, after))
        self.note(entry)
        self._move_to(event, ends, current)
        return entry

    async def _end(self, event: Event, after: int) -> tuple[frozenset[EventId], int]:
        """The ends of the room with an accepted event, and the state after them."""
        ends = self._ends.after(event, self.extremities)
        if ends == self.extremities:
            return ends, self.current_number
        numbers = {self.number_after(each) for each in ends - {event.event_id}}
        if event.event_id in ends:
            numbers.add(after)
        known = [each for each in numbers if each is not None]  # only such are ends
        return ends, await self.states.resolve(self.graph, known, self.pace)

    def _move_to(self, event: Event, ends: frozenset[EventId], current: int) -> None:
        """Have other forward extremities, and the current state of them."""
        if event.event_id in ends:
            self.events[event.event_id] = event
        for gone in self.extremities - ends:
            if gone in self.events and self.events[gone].state_key is None:
                del self.events[gone]
        self.extremities, self.current_number = ends, current

    def note(self, entry: Entry) -> None:
        """Have an entry, without further effects."""
        self.entries[entry.event_id] = entry
        if entry.outcome is Outcome.REJECTED:
            self._rejected.add(entry.event_id)
        self._ends.note(entry)

    def continued(self) -> "Room":
        """A room for another reading, with the events that this one has."""
        other = Room(self.room_id, self.room_version, self._store, self.pace)
        other.entries.update(self.entries)
        other.events.update(self.events)
        other._rejected.update(self._rejected)
        other._ends = self._ends.continued(other.entries, other.events)
        return other

    def mark_written(self, change: RoomChange, revision: int) -> None:
        """Note that the store has a change, and its revision after that."""
        self.revision, self.members_number = revision, change.current
        self.states.mark_saved(change.states)

    def _cited(self, event: Event) -> CitedEvents:
        if event.type == "m.room.create":
            return CitedEvents((), None)  # nothing authorises the beginning of a room
        create = self.graph.create_of(event)
        cited = [self.graph.event(each) for each in event.auth_event_ids]
        return CitedEvents(cited, create, self._rejected)

    def parse(self, text: bytes) -> Event:
        """An event of the room, from its JSON in the store."""
        return Event.parse(msgspec.json.decode(text), self.room_version)
