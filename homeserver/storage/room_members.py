"""The joined users of the rooms that one of our names takes part in.

Rules: they change in the commit that changes the current state of their room. A device
list that is kept of a user goes with the last room that the user shares with one of
ours: what it says later is not told to us.
"""

from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.room_rows import RoomChange

# Whether a user is in a room that a user of ours is in. The rooms of the one user come
# first, which CROSS tells SQLite: those of ours may have a million other users.
_SHARED = (
    "SELECT 1 FROM room_members m CROSS JOIN room_members o"
    " WHERE m.server_name = {own} AND m.user_id = {user_id}"
    " AND o.server_name = m.server_name AND o.room_id = m.room_id"
    " AND o.peer = m.server_name LIMIT 1"
)
_IS_SHARING = _SHARED.format(own="?", user_id="?")
_SHARES_NONE = "NOT EXISTS ({})".format(
    _SHARED.format(own="device_lists.server_name", user_id="device_lists.user_id")
)


def is_sharing(cursor: Cursor, own: ServerName, user: UserId) -> bool:
    """Whether a user is in a room with a user of ours."""
    row = cursor.execute(_IS_SHARING, (own.name, user.user_id)).fetchone()
    return row is not None


def record_members(cursor: Cursor, own: ServerName, change: RoomChange) -> None:
    """Write who has joined and left a room."""
    cursor.executemany(
        "INSERT INTO room_members (server_name, user_id, room_id, peer)"
        " VALUES (?, ?, ?, ?) ON CONFLICT (server_name, user_id, room_id) DO NOTHING",
        [
            (own.name, user.user_id, change.room_id, user.server_name.name)
            for user in change.joined
        ],
    )
    cursor.executemany(
        "DELETE FROM room_members"
        " WHERE server_name = ? AND user_id = ? AND room_id = ?",
        [(own.name, user.user_id, change.room_id) for user in change.left],
    )
    if any(user.server_name == own for user in change.left):
        _forget_lists(cursor, own)
    else:
        cursor.executemany(
            "DELETE FROM device_lists WHERE server_name = ? AND user_id = ?"  # noqa: S608 - ours
            f" AND {_SHARES_NONE}",
            [(own.name, user.user_id) for user in change.left],
        )


def forget_members(cursor: Cursor, own: ServerName, room_id: RoomId) -> None:
    """Forget who is in a room."""
    cursor.execute(
        "DELETE FROM room_members WHERE server_name = ? AND room_id = ?",
        (own.name, room_id),
    )
    _forget_lists(cursor, own)


def _forget_lists(cursor: Cursor, own: ServerName) -> None:
    cursor.execute(
        f"DELETE FROM device_lists WHERE server_name = ? AND {_SHARES_NONE}",  # noqa: S608 - ours
        (own.name,),
    )
