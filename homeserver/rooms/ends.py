"""The forward extremities of a room, its ends: which events they are after each event.

Rules: an accepted event that none cites is an end, and takes the place of those that it
reaches through events of known state. Through others it reaches none: what another
server says of the state after those may lack what holds at an end. The number of ends
is bounded, so that forks without a limit do not make state resolution ever longer.
Nothing is lost with an end: it holds again before each event that cites it.

Specification: Server-server API, "PDUs", "Soft failure".
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.receipt import Outcome, extremities_after
from homeserver.rooms.entry import Entry

MAX_ENDS = 20
"""So many events may be cited in `prev_events`: one event of ours merges all ends."""


class Ends:
    """What decides on the ends of one room."""

    def __init__(
        self, entries: Mapping[EventId, Entry], events: Mapping[EventId, Event]
    ) -> None:
        """`entries` has all events of the room, `events` at least its ends."""
        self._entries = entries
        self._events = events
        self._passed_over: dict[EventId, Sequence[EventId]] = {}
        self._continued: set[EventId] = set()

    def continued(
        self, entries: Mapping[EventId, Entry], events: Mapping[EventId, Event]
    ) -> "Ends":
        """Others that have noted the same; the arguments are those of `Ends`."""
        other = Ends(entries, events)
        other._passed_over.update(self._passed_over)
        other._continued.update(self._continued)
        return other

    def note(self, entry: Entry) -> None:
        """Note what an event cites."""
        if entry.outcome.may_be_cited:
            self._continued.update(entry.prev)
            self._passed_over.pop(entry.event_id, None)
        elif entry.after is not None:
            self._passed_over[entry.event_id] = entry.prev

    def after(self, event: Event, ends: frozenset[EventId]) -> frozenset[EventId]:
        """The ends with an accepted event, which is not noted yet."""
        found = extremities_after(
            event,
            Outcome.ACCEPTED,
            ends,
            self._passed_over,
            is_continued=event.event_id in self._continued,
        )
        return found if len(found) <= MAX_ENDS else self._without_one(event, found)

    def _without_one(
        self, event: Event, ends: frozenset[EventId]
    ) -> frozenset[EventId]:
        """All ends but the oldest one of the server that has most.

        So a server that floods a room with forks displaces its own.
        """
        others = ends - {event.event_id}
        servers = {each: self._events[each].sender.server_name for each in others}
        count = Counter([*servers.values(), event.sender.server_name])
        most = max(count[each] for each in servers.values())
        crowd = [each for each in others if count[servers[each]] == most]
        return ends - {min(crowd, key=lambda each: self._entries[each].position)}
