"""The users of other servers that share a room with users of one of our servers.

Rules: a user is in a room by its current state.
"""

from collections.abc import Iterable

from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.rooms import Rooms


async def sharing_a_room(rooms: Rooms, users: Iterable[UserId]) -> set[UserId]:
    """Those of some users that are in a room with a user of ours.

    Raises `StoreUnavailable`.
    """
    left, found = set(users), set[UserId]()
    for room_id in await rooms.store.room_ids() if left else ():
        room = await rooms.find(room_id)
        if room is None or rooms.server_name not in room.residents:
            continue
        state = room.current
        here = {each for each in left if membership(state, each.user_id) == "join"}
        found |= here
        left -= here
    return found
