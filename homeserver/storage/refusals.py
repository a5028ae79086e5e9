"""The last refused requests of other servers, kept over restarts.

Rules: a client chooses how many of its requests are refused, so the number of rows is
bounded, and many are recorded in one write. IDs are assigned as those of received
transactions, under a row that is locked until the commit.
"""

from collections.abc import Sequence

from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database

# Each takes up to two kilobytes: a path of 500 characters and a sentence of a thousand.
MAX_ROWS = 10_000


class RefusalStore:
    """The refusals of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, refusals: Sequence[Json]) -> None:
        """Record refusals, each with its `refused_ts` and its `origin`."""
        rows = [
            (each["refused_ts"], each["origin"], encode(each).decode("utf-8"))
            for each in refusals
        ]

        def job(cursor: Cursor) -> None:
            [last_id] = cursor.execute(
                "UPDATE last_refused SET id = id + ? RETURNING id", (len(rows),)
            ).fetchone()
            first_id = last_id - len(rows) + 1
            cursor.executemany(
                "INSERT INTO refusals (id, refused_ts, origin, refusal)"
                " VALUES (?, ?, ?, ?)",
                [(own_id, *row) for own_id, row in enumerate(rows, first_id)],
            )
            cursor.execute("DELETE FROM refusals WHERE id <= ?", (last_id - MAX_ROWS,))

        await self._database.write(job)

    async def after(
        self, after: int, origin: ServerName | None, limit: int
    ) -> list[Json]:
        """Up to `limit` refusals with an ID above `after`, oldest first."""

        def job(cursor: Cursor) -> list[Json]:
            rows = cursor.execute(
                "SELECT id, refusal FROM refusals WHERE id > ? AND (origin = ? OR ?)"
                " ORDER BY id LIMIT ?",
                (after, origin and origin.name, origin is None, limit),
            ).fetchall()
            return [
                {"id": own_id, **parse_object(refusal.encode("utf-8"))}
                for own_id, refusal in rows
            ]

        return await self._database.read(job)
