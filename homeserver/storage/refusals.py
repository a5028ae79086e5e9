"""The last refused requests of other servers, kept over restarts.

Rules: a client chooses how many of its requests are refused, so the number of rows is
bounded, and many are recorded in one write. The bound is one for all of our names; the
name with the most rows loses its oldest. IDs are assigned as those of received
transactions, under a row that is locked until the commit.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.json import decode, encode
from msgspec.structs import asdict

from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database

# Each takes up to two kilobytes: a path of 500 characters and a sentence of a thousand;
# with two hints, four.
MAX_ROWS = 10_000


class Refusal(Struct, frozen=True, kw_only=True, omit_defaults=True):
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

    hints: tuple[Hint, ...] | None = ()
    """What has to change; None if that is not known yet."""

    seconds: float = 0.0
    """How long the answer took, if that is known."""

    content: str | None = None
    """The digest of the PDUs and EDUs of a transaction; None if it was not made."""

    evidence: str | None = None
    """Under which name the evidence is kept in memory, until the hints are known."""


class RecordedRefusal(Refusal, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal in the store."""

    id: int


class RefusalStore:
    """The requests to one of our names that were refused."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

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
                "INSERT INTO refusals (id, server_name, refused_ts, origin, refusal)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (own_id, self._server_name.name, *row)
                    for own_id, row in enumerate(rows, first_id)
                ],
            )
            _prune(cursor)

        await self._database.write(job)

    async def complete(self, refusal: RecordedRefusal) -> None:
        """Record the hints of a refusal that was recorded without them."""
        members = {k: v for k, v in asdict(refusal).items() if k != "id"}
        text = encode(Refusal(**members)).decode("utf-8")

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE refusals SET refusal = ? WHERE id = ? AND server_name = ?",
                (text, refusal.id, self._server_name.name),
            )

        await self._database.write(job)

    async def after(
        self, after: int, origin: ServerName | None, limit: int
    ) -> list[RecordedRefusal]:
        """Up to `limit` refusals with an ID above `after`, oldest first."""

        def job(cursor: Cursor) -> list[RecordedRefusal]:
            page = load_refusals(cursor, self._server_name, after, origin, limit)
            return [refusal for _, refusal in page]

        return await self._database.read(job)


def load_refusals(
    cursor: Cursor,
    server_name: ServerName | None,
    after: int,
    origin: ServerName | None,
    limit: int,
) -> list[tuple[str, RecordedRefusal]]:
    """Up to `limit` refusals with an ID above `after`, oldest first.

    Each has the name of ours that refused: `server_name`, or any if that is None.
    """
    rows = cursor.execute(
        "SELECT server_name, id, refusal FROM refusals"
        " WHERE (server_name = ? OR ?) AND id > ? AND (origin = ? OR ?)"
        " ORDER BY id LIMIT ?",
        (
            server_name and server_name.name,
            server_name is None,
            after,
            origin and origin.name,
            origin is None,
            limit,
        ),
    ).fetchall()
    return [
        (owner, RecordedRefusal(id=own_id, **asdict(decode(refusal, type=Refusal))))
        for owner, own_id, refusal in rows
    ]


def _prune(cursor: Cursor) -> None:
    """Delete the rows beyond the bound, the oldest of the name with the most."""
    [count] = cursor.execute("SELECT COUNT(*) FROM refusals").fetchone()
    while count > MAX_ROWS:
        name, own_count = cursor.execute(
            "SELECT server_name, COUNT(*) FROM refusals GROUP BY server_name"
            " ORDER BY COUNT(*) DESC, server_name LIMIT 1"
        ).fetchone()
        surplus = min(count - MAX_ROWS, own_count)
        cursor.execute(
            "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals"
            " WHERE server_name = ? ORDER BY id LIMIT ?)",
            (name, surplus),
        )
        count -= surplus
