"""The list of public rooms and the aliases of one of our names.

Rules: an alias leads to one room, known here or not. A room is listed only while it is
known here.
"""

from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.storage.engine.interface import Cursor, Database, Short


class RoomDirectory:
    """The public rooms and the aliases of one of our names."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def list_publicly(self, room_id: RoomId, *, is_listed: bool) -> None:
        """Put a room on the list of public rooms, or take it from there."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE joined_rooms SET is_listed = ?"
                " WHERE server_name = ? AND room_id = ?",
                (int(is_listed), self._server_name.name, room_id),
            )

        await self._database.write(Short(job))

    async def listed_rooms(self) -> list[RoomId]:
        """The IDs of the rooms on the list of public rooms, in their order."""

        def job(cursor: Cursor) -> list[RoomId]:
            rows = cursor.execute(
                "SELECT room_id FROM joined_rooms"
                " WHERE server_name = ? AND is_listed = 1 ORDER BY room_id",
                (self._server_name.name,),
            ).fetchall()
            return [RoomId(room_id) for [room_id] in rows]

        return await self._database.read(job)

    async def add_alias(self, alias: str, room_id: RoomId) -> bool:
        """Let an alias lead to a room; False if it leads to another one already."""

        def job(cursor: Cursor) -> bool:
            cursor.execute(
                "INSERT INTO room_aliases (server_name, alias, room_id)"
                " VALUES (?, ?, ?) ON CONFLICT (server_name, alias) DO NOTHING",
                (self._server_name.name, alias, room_id),
            )
            return self._load_alias(cursor, alias) == room_id

        return await self._database.write(Short(job))

    async def alias(self, alias: str) -> RoomId | None:
        """The room that an alias leads to."""

        def job(cursor: Cursor) -> RoomId | None:
            return self._load_alias(cursor, alias)

        return await self._database.read(Short(job))

    def _load_alias(self, cursor: Cursor, alias: str) -> RoomId | None:
        row = cursor.execute(
            "SELECT room_id FROM room_aliases WHERE server_name = ? AND alias = ?",
            (self._server_name.name, alias),
        ).fetchone()
        return None if row is None else RoomId(row[0])
