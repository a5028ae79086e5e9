"""What a room lacks to judge an event.

Specification: Server-server API, "Checks performed on receipt of a PDU".
"""

from collections.abc import Sequence
from typing import Self

from msgspec import Struct

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.rules import named
from homeserver.rooms.room import Room


class Missing(Struct, frozen=True):
    """The events that are missing; false if none is."""

    auth: Sequence[EventId]
    """Those that authorise it."""

    prev: Sequence[EventId]
    """Those before it, after which no state is known."""

    @classmethod
    def of(cls, room: Room, event: Event) -> Self:
        """What a room lacks to judge an event."""
        needed = list(event.auth_event_ids)
        if room.room_version.has_hash_room_id and event.type != "m.room.create":
            needed.append(EventId("$" + event.room_id[1:]))
        return cls(
            [each for each in needed if each not in room.entries],
            [x for x in event.prev_event_ids if room.number_after(x) is None],
        )

    def __bool__(self) -> bool:
        return bool(self.auth or self.prev)

    def __str__(self) -> str:
        what = "`auth_events`" if self.auth else "`prev_events`"
        some = ", ".join(map(named, (*self.auth, *self.prev)[:3]))
        return f"its {what} could not be fetched: {some}"
