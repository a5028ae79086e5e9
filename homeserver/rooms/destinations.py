"""The servers that an event of ours is sent to.

Rules: these are the residents before the event and after it, so that the server of a
kicked or banned user learns of it. A server outside of the room learns of the end of
its user's invite or knock.

Specification: Server-server API, "PDUs", "Leaving Rooms (Rejecting Invites)".
"""

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.protocol.rooms.state import StateMap, membership, membership_of
from homeserver.rooms.entry import Entry
from homeserver.rooms.room import Room


def destinations(
    room: Room, event: Event, entry: Entry, own: ServerName
) -> frozenset[ServerName]:
    """Where an event goes that was entered in a room; never to ourselves."""
    names = frozenset[ServerName]()
    for number in {entry.before, entry.after} - {None}:
        if number is not None:
            names |= room.residents_at(number)
    if entry.before is not None:
        names |= _turned_away(event, room.states.map(entry.before))
    return names - {own}


def _turned_away(event: Event, before: StateMap) -> frozenset[ServerName]:
    """The server of the user whose invite or knock an event ends."""
    user_id = event.state_key
    if event.type != "m.room.member" or user_id is None:
        return frozenset()
    if membership_of(event) not in {"leave", "ban"}:
        return frozenset()
    if membership(before, user_id) not in {"invite", "knock"}:
        return frozenset()
    try:
        return frozenset([UserId.parse(user_id).server_name])
    except InvalidParam:
        return frozenset()
