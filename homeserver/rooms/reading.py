"""A room as it is read from the store.

Rules: each event is read once, and of messages only the members that an entry has. It
is done in slices: a large room takes seconds. The texts of messages leave memory at
once. What another process has changed is read beside an earlier reading, so that one
that changes a room all the time does not keep others reading it. That reading stays as
it is, for those who have it.
"""

from typing import Self

from msgspec import Struct

from homeserver.net.cooperate import Pace
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.rooms.entry import Entry, Head
from homeserver.rooms.room import REDACTION, Room
from homeserver.rooms.states import RoomStates
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.room_rows import StoredEvent
from homeserver.storage.stored_rooms import NOTHING, Had, StoredRoom


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


def had(room: Room | None) -> Had:
    """What an earlier reading of a room has of it, and the store has as well."""
    if room is None:
        return NOTHING
    return Had(room.revision, len(room.entries), room.states.saved)


async def read_room(
    room_id: RoomId,
    stored: StoredRoom[ReadEvent],
    store: RoomStore,
    pace: Pace,
    earlier: Room | None = None,
) -> Room:
    """A room as the store has it; `pace` lets others have their turn meanwhile.

    `earlier` is the reading that has what is left out, if something is.
    """
    if earlier is not None and stored.had is not NOTHING:
        room = _continued(earlier, stored)
    else:
        room = Room(room_id, parse_room_version(stored.room_version), store, pace)
        room.states = RoomStates(room.events, stored.states)
    room.extremities = frozenset(stored.extremities)
    room.current_number = stored.current
    room.members_number = stored.members
    room.revision = stored.revision
    for each in stored.events:
        await pace.pause()
        room.note(each.entry)
        room.waiting_redactions.pop(each.entry.event_id, None)
        if each.is_state and each.text is not None:
            room.events[each.entry.event_id] = room.parse(each.text)
    room.events.update(await room.read(room.extremities))
    for each in stored.events:
        is_redaction = each.entry.type == REDACTION and each.entry.outcome.is_shown
        if is_redaction and each.text is not None:
            _wait(room, room.parse(each.text))
    return room


def _continued(earlier: Room, stored: StoredRoom[ReadEvent]) -> Room:
    """An earlier reading, which stays as it is, with the states that are stored now."""
    room = earlier.continued()
    room.states = earlier.states.continued(room.events, stored.states)
    for gone in earlier.extremities - set(stored.extremities):
        if room.events[gone].state_key is None:
            del room.events[gone]
    for target, waiting in earlier.waiting_redactions.items():
        room.waiting_redactions[target] = list(waiting)
    return room


def _wait(room: Room, redaction: Event) -> None:
    """Note a redaction that is shown, if the room lacks its event."""
    target = redaction.redacts
    if isinstance(target, str) and target not in room.entries:
        waiting = room.waiting_redactions.setdefault(EventId(target), [])
        if redaction.event_id not in waiting:
            waiting.append(redaction.event_id)
