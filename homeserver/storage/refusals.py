"""The last refused requests of other servers, kept over restarts.

Rules: a client chooses how many of its requests are refused, so the number of rows is
bounded, and many are recorded in one write. IDs are assigned as those of received
transactions, under a row that is locked until the commit.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.json import decode, encode
from msgspec.structs import asdict

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database

# Each takes up to two kilobytes: a path of 500 characters and a sentence of a thousand.
MAX_ROWS = 10_000


class Refusal(Struct, frozen=True, kw_only=True):
    """One refused request."""

    refused_ts: int
    """In milliseconds since 1970."""

    address: str
    """The IP address of the client."""

    origin: str | None
    """The server that it claims to come from."""

    proven: bool
    """Whether that is proven."""

    method: str
    path: str
    status: int
    errcode: str
    error: str
    """Why it was refused: a sentence."""

    reason: str
    """A code for programs."""


class RecordedRefusal(Refusal, frozen=True, kw_only=True):
    """A refusal in the store."""

    id: int


class RefusalStore:
    """The refusals of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, refusals: Sequence[Refusal]) -> None:
        """Record refusals, in their order."""
        rows = [
            (each.refused_ts, each.origin, encode(each).decode("utf-8"))
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
    ) -> list[RecordedRefusal]:
        """Up to `limit` refusals with an ID above `after`, oldest first."""

        def job(cursor: Cursor) -> list[RecordedRefusal]:
            rows = cursor.execute(
                "SELECT id, refusal FROM refusals WHERE id > ? AND (origin = ? OR ?)"
                " ORDER BY id LIMIT ?",
                (after, origin and origin.name, origin is None, limit),
            ).fetchall()
            return [
                RecordedRefusal(id=own_id, **asdict(decode(refusal, type=Refusal)))
                for own_id, refusal in rows
            ]

        return await self._database.read(job)
