"""A room as it is read from the store.

Rules: each event is read once, and of messages only the members that an entry has. It
is done in slices: a large room takes seconds.
"""

from homeserver.net.cooperate import Pace
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.rooms.entry import Head
from homeserver.rooms.room import REDACTION, Room
from homeserver.rooms.states import RoomStates
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.room_rows import StoredRoom


async def read_room(
    room_id: RoomId,
    stored: StoredRoom,
    store: RoomStore,
    pace: Pace,
) -> Room:
    """A room as the store has it; `pace` lets others have their turn meanwhile."""
    room = Room(room_id, parse_room_version(stored.room_version), store, pace)
    room.states = RoomStates(room.events, stored.states)
    room.extremities = frozenset(stored.extremities)
    room.current_number = stored.current
    room.revision = stored.revision
    for row in stored.events:
        await pace.pause()
        head = Head.of(row.event)
        entry = head.entry(row)
        room.note(entry)
        if head.state_key is not None or entry.event_id in room.extremities:
            room.events[entry.event_id] = room.parse(row.event)
    for row in stored.events:
        entry = room.entries[row.event_id]
        if entry.type == REDACTION and entry.outcome.is_shown:
            target = room.parse(row.event).redacts
            if isinstance(target, str) and target not in room.entries:
                waiting = room.waiting_redactions.setdefault(EventId(target), [])
                waiting.append(row.event_id)
    return room
