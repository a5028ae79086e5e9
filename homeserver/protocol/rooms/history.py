"""The history of a room: what becomes of each of its events, in the order of arrival.

Rules: an event arrives after those that it cites, as far as they are known. What became
of it stays, and states follow from it: the one before an event is resolved over what
its `prev_events` left, the current one over the forward extremities.

Specification: Server-server API, "Checks performed on receipt of a PDU" and "Room State
Resolution".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.receipt import (
    Outcome,
    Receipt,
    States,
    extremities_after,
    judge,
    state_after,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.state_resolution import resolve
from homeserver.protocol.rooms.switches import SWITCHES, Switches


@dataclass(frozen=True, slots=True)
class Judged:
    """An event, and what became of it."""

    event: Event
    receipt: Receipt
    before: StateMap | None = field(repr=False)
    """The state before it; None where it is not known."""


class History:
    """The events of a room that have arrived."""

    def __init__(self, version: RoomVersion, switches: Switches = SWITCHES) -> None:
        self.judged: dict[EventId, Judged] = {}
        """In the order of arrival."""

        self._events: dict[EventId, Event] = {}
        self._rejected: set[EventId] = set()
        self._graph = AuthGraph(version, self._events, self._rejected, switches)
        self._after: dict[EventId, StateMap] = {}
        self._passed_over: dict[EventId, Sequence[EventId]] = {}
        self.extremities: frozenset[EventId] = frozenset()
        """The forward extremities: what the next event comes after."""

        self.current: StateMap = {}
        """The current state of the room."""

    def know(self, event: Event) -> None:
        """Take in an event without a verdict, which others may cite."""
        self._events[event.event_id] = event

    def receive(self, event: Event) -> Judged:
        """Judge the next event; one that arrives again keeps what became of it.

        Raises `UnknownAuthEvent` where the event cannot be judged: an event that it
        cites in `auth_events`, or the room's create event, has not arrived.
        """
        if event.event_id in self.judged:
            return self.judged[event.event_id]
        before = self._state_before(event)
        receipt = judge(
            event,
            self._cited(event),
            States(before, self.current),
            self._graph.switches,
        )
        judged = Judged(event, receipt, before)
        self.know(event)
        self.judged[event.event_id] = judged
        self._go_on(judged)
        return judged

    def _state_before(self, event: Event) -> StateMap | None:
        if any(each not in self._after for each in event.prev_event_ids):
            return None
        return resolve(self._graph, [self._after[x] for x in event.prev_event_ids])

    def _cited(self, event: Event) -> CitedEvents:
        if event.type == "m.room.create":
            return CitedEvents((), None)  # nothing authorises the beginning of a room
        cited = [self._graph.event(each) for each in event.auth_event_ids]
        return CitedEvents(cited, self._graph.create_of(event), self._rejected)

    def _go_on(self, judged: Judged) -> None:
        """Note what the outcome means for states, extremities and later events."""
        event, outcome = judged.event, judged.receipt.outcome
        if outcome is Outcome.REJECTED:
            self._rejected.add(event.event_id)
        if judged.before is not None:
            self._after[event.event_id] = state_after(event, outcome, judged.before)
        if not outcome.may_be_cited:
            self._passed_over[event.event_id] = event.prev_event_ids
            return
        self.extremities = extremities_after(
            event, outcome, self.extremities, self._passed_over
        )
        self.current = resolve(
            self._graph, [self._after[each] for each in sorted(self.extremities)]
        )
