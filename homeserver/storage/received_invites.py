"""Invites of users of one of our names to rooms, as other servers sent them.

Rules: an invite makes no room. One of a user to a room replaces an earlier one. Each
server, and all together, have so many; beyond that the oldest go.
"""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.storage.engine.interface import Cursor, Database, Short

MAX_OF_ONE = 100  # of one server
MAX_OF_ALL = 2000

_COLUMNS = "room_id, user_id, origin, room_version, event, room_state"


class ReceivedInvite(Struct, frozen=True):
    """An invite."""

    room_id: RoomId
    user: UserId
    """The invited one."""

    origin: ServerName
    """The server that sent it."""

    room_version: str
    event: bytes
    """In canonical JSON, with our signature."""

    room_state: bytes
    """What came with it of the room: a list in JSON."""


class InviteStore:
    """The invites of the users of one of our names."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def record(self, invite: ReceivedInvite) -> None:
        """Record an invite."""
        own, origin = self._server_name.name, invite.origin.name

        def job(cursor: Cursor) -> None:
            [last] = cursor.execute(
                "SELECT COALESCE(MAX(number), 0) FROM received_invites"
                " WHERE server_name = ?",
                (own,),
            ).fetchone()
            cursor.execute(
                "DELETE FROM received_invites"
                " WHERE server_name = ? AND room_id = ? AND user_id = ?",
                (own, invite.room_id, invite.user.user_id),
            )
            cursor.execute(
                f"INSERT INTO received_invites (server_name, number, {_COLUMNS})"  # noqa: S608 - ours
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    own,
                    last + 1,
                    invite.room_id,
                    invite.user.user_id,
                    origin,
                    invite.room_version,
                    invite.event.decode("utf-8"),
                    invite.room_state.decode("utf-8"),
                ),
            )
            for condition, names, most in (
                (" AND origin = ?", (own, origin), MAX_OF_ONE),
                ("", (own,), MAX_OF_ALL),
            ):
                cursor.execute(
                    "DELETE FROM received_invites WHERE server_name = ? AND number IN"  # noqa: S608 - ours
                    " (SELECT number FROM received_invites WHERE server_name = ?"
                    f"{condition} ORDER BY number DESC LIMIT 100 OFFSET ?)",
                    (own, *names, most),
                )

        await self._database.write(Short(job))

    async def all(self) -> list[ReceivedInvite]:
        """All invites, oldest first."""

        def job(cursor: Cursor) -> list[ReceivedInvite]:
            rows = cursor.execute(
                f"SELECT {_COLUMNS} FROM received_invites WHERE server_name = ?"  # noqa: S608 - ours
                " ORDER BY number",
                (self._server_name.name,),
            ).fetchall()
            return [_invite(*row) for row in rows]

        return await self._database.read(job)

    async def find(self, room_id: RoomId, user: UserId) -> ReceivedInvite | None:
        """The invite of a user to a room."""

        def job(cursor: Cursor) -> ReceivedInvite | None:
            row = cursor.execute(
                f"SELECT {_COLUMNS} FROM received_invites"  # noqa: S608 - ours
                " WHERE server_name = ? AND room_id = ? AND user_id = ?",
                (self._server_name.name, room_id, user.user_id),
            ).fetchone()
            return None if row is None else _invite(*row)

        return await self._database.read(Short(job))

    async def remove(self, room_id: RoomId, user: UserId) -> bool:
        """Remove an invite, as it was accepted, rejected or withdrawn."""

        def job(cursor: Cursor) -> bool:
            row = cursor.execute(
                "DELETE FROM received_invites"
                " WHERE server_name = ? AND room_id = ? AND user_id = ? RETURNING 1",
                (self._server_name.name, room_id, user.user_id),
            ).fetchone()
            return row is not None

        return await self._database.write(Short(job))


def _invite(
    room_id: str, user_id: str, origin: str, version: str, event: str, state: str
) -> ReceivedInvite:
    return ReceivedInvite(
        RoomId(room_id),
        UserId.parse(user_id),
        ServerName.parse(origin),
        version,
        event.encode("utf-8"),
        state.encode("utf-8"),
    )
