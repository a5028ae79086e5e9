"""Invites and knocks of users of one of our names, to rooms that we are not in.

Rules: none of them makes a room. A user has one of them to a room, the last one. Those
of each server, and all together, have a bounded number and size; beyond that the oldest
go.
"""

from typing import Literal

from msgspec import Struct

from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.storage.engine.interface import Cursor, Database, Short
from homeserver.storage.oldest_rows import forget_oldest

# Most have some ten kilobytes, and a server may send three hundred.
MAX_OF_ONE = (100, 10_000_000)  # memberships and bytes, of one server
MAX_OF_ALL = (2000, 40_000_000)

_ROW_BYTES = 500  # beside the events
_TABLE = "pending_memberships"
_COLUMNS = "room_id, user_id, origin, room_version, event, room_state, membership"

Membership = Literal["invite", "knock"]


class PendingMembership(Struct, frozen=True):
    """An invite, or a knock."""

    room_id: RoomId
    user: UserId
    """Our user, who is invited or knocks."""

    origin: ServerName
    """The server that sent the invite, or that took the knock."""

    room_version: str
    event: bytes
    """In canonical JSON, with our signature."""

    room_state: bytes
    """What that server has shown of the room: a list in JSON."""

    membership: Membership = "invite"


class PendingStore:
    """The invites and knocks of the users of one of our names."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def record(self, pending: PendingMembership) -> None:
        """Record an invite or a knock."""
        own, origin = self._server_name.name, pending.origin.name

        def job(cursor: Cursor) -> None:
            [last] = cursor.execute(
                "SELECT COALESCE(MAX(number), 0) FROM pending_memberships"
                " WHERE server_name = ?",
                (own,),
            ).fetchone()
            cursor.execute(
                "DELETE FROM pending_memberships"
                " WHERE server_name = ? AND room_id = ? AND user_id = ?",
                (own, pending.room_id, pending.user.user_id),
            )
            cursor.execute(
                f"INSERT INTO pending_memberships (server_name, number, length,"  # noqa: S608 - ours
                f" {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    own,
                    last + 1,
                    _ROW_BYTES + len(pending.event) + len(pending.room_state),
                    pending.room_id,
                    pending.user.user_id,
                    origin,
                    pending.room_version,
                    pending.event.decode("utf-8"),
                    pending.room_state.decode("utf-8"),
                    pending.membership,
                ),
            )
            by_origin = " AND origin = ?"
            forget_oldest(cursor, _TABLE, by_origin, (own, origin), MAX_OF_ONE)
            forget_oldest(cursor, _TABLE, "", (own,), MAX_OF_ALL)

        await self._database.write(Short(job))

    async def all(self, membership: Membership) -> list[PendingMembership]:
        """All invites, or all knocks, oldest first."""

        def job(cursor: Cursor) -> list[PendingMembership]:
            rows = cursor.execute(
                f"SELECT {_COLUMNS} FROM pending_memberships WHERE server_name = ?"  # noqa: S608 - ours
                " AND membership = ? ORDER BY number",
                (self._server_name.name, membership),
            ).fetchall()
            return [_pending(row) for row in rows]

        return await self._database.read(job)

    async def find(self, room_id: RoomId, user: UserId) -> PendingMembership | None:
        """The invite or knock of a user to a room."""

        def job(cursor: Cursor) -> PendingMembership | None:
            row = cursor.execute(
                f"SELECT {_COLUMNS} FROM pending_memberships"  # noqa: S608 - ours
                " WHERE server_name = ? AND room_id = ? AND user_id = ?",
                (self._server_name.name, room_id, user.user_id),
            ).fetchone()
            return None if row is None else _pending(row)

        return await self._database.read(Short(job))

    async def remove(self, room_id: RoomId, user: UserId) -> None:
        """Remove what has an answer, or was taken back."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "DELETE FROM pending_memberships"
                " WHERE server_name = ? AND room_id = ? AND user_id = ?",
                (self._server_name.name, room_id, user.user_id),
            )

        await self._database.write(Short(job))

    async def remove_joined(self, room_id: RoomId, user: UserId) -> None:
        """Remove what the join of a user to a room answers.

        That is what the user has, and all knocks: the state of the room has them.
        """

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "DELETE FROM pending_memberships WHERE server_name = ? AND room_id = ?"
                " AND (user_id = ? OR membership = 'knock')",
                (self._server_name.name, room_id, user.user_id),
            )

        await self._database.write(job)


def _pending(
    row: tuple[str, str, str, str, str, str, Membership],
) -> PendingMembership:
    room_id, user_id, origin, version, event, state, membership = row
    return PendingMembership(
        RoomId(room_id),
        UserId.parse(user_id),
        ServerName.parse(origin),
        version,
        event.encode("utf-8"),
        state.encode("utf-8"),
        membership,
    )
