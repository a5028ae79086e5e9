"""A room as it is read from the store.

Rules: each event is read once, and of messages only the members that an entry has. It
is done in slices: a large room takes seconds. The texts of messages leave memory at
once.
"""

from typing import Self

from msgspec import Struct

from homeserver.net.cooperate import Pace
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.rooms.entry import Entry, Head
from homeserver.rooms.room import REDACTION, Room
from homeserver.rooms.states import RoomStates
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.room_rows import StoredEvent, StoredRoom


class ReadEvent(Struct, frozen=True):
    """What a room needs of one of its events."""

    entry: Entry
    is_state: bool
    text: bytes | None
    """In canonical JSON; None for a message."""

    @classmethod
    def of(cls, row: StoredEvent) -> Self:
        """That of a row of the store."""
        head = Head.of(row.event)
        is_state = head.state_key is not None
        is_needed = is_state or head.type == REDACTION
        return cls(head.entry(row), is_state, row.event if is_needed else None)


async def read_room(
    room_id: RoomId,
    stored: StoredRoom[ReadEvent],
    store: RoomStore,
    pace: Pace,
) -> Room:
    """A room as the store has it; `pace` lets others have their turn meanwhile."""
    room = Room(room_id, parse_room_version(stored.room_version), store, pace)
    room.states = RoomStates(room.events, stored.states)
    room.extremities = frozenset(stored.extremities)
    room.current_number = stored.current
    room.members_number = stored.members
    room.revision = stored.revision
    for each in stored.events:
        await pace.pause()
        room.note(each.entry)
        if each.is_state and each.text is not None:
            room.events[each.entry.event_id] = room.parse(each.text)
    room.events.update(await room.read(room.extremities))
    for each in stored.events:
        is_redaction = each.entry.type == REDACTION and each.entry.outcome.is_shown
        if is_redaction and each.text is not None:
            target = room.parse(each.text).redacts
            if isinstance(target, str) and target not in room.entries:
                waiting = room.waiting_redactions.setdefault(EventId(target), [])
                waiting.append(each.entry.event_id)
    return room
