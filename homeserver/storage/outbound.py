"""What is owed to other servers: what goes in, and how far it has come.

Rules of the room: entries of a destination are in the order of their IDs, which is
that of their commits. What became of an entry is told for ever.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from homeserver.protocol.canonical import Json, encode, parse
from homeserver.protocol.names import ServerName
from homeserver.storage.database import Cursor, Database, StoreClock


class Owed(Struct, frozen=True):
    """What is owed to all destinations together."""

    entries: float
    oldest_seconds: float
    """For how long the oldest of them has been queued; 0 where there is none."""

    waiting: float
    """Destinations that are owed something, and whose last attempt did not fail."""

    backing_off: float
    """Those whose last attempt failed."""


class OutboundQueue:
    """The queues of all destinations: what goes in, and what became of it."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def add(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        *,
        is_ephemeral: bool,
    ) -> int:
        """Queue what fits into one transaction; return the entry's ID.

        An ephemeral entry, which has no PDUs, may be dropped when it is stale.
        """
        entry = (destination.name, *map(_as_text, (pdus, edus)))
        length = sum(len(text.encode("utf-8")) for text in entry[1:])

        def job(cursor: Cursor) -> int:
            now_ts = self._clock(cursor)
            # First the row that is locked until the commit: of one destination, a
            # smaller ID is never committed after a larger one.
            cursor.execute(
                "INSERT INTO destinations (server_name, queued, due_ts)"
                " VALUES (?, 1, ?) ON CONFLICT (server_name) DO UPDATE SET"
                " queued = destinations.queued + 1,"
                " due_ts = COALESCE(destinations.due_ts, excluded.due_ts)",
                (destination.name, now_ts),
            )
            [own_id] = cursor.execute(
                "INSERT INTO outbound_entries"
                " (destination, pdus, edus, length, queued_ts, ephemeral)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (*entry, length, now_ts, len(edus) if is_ephemeral else 0),
            ).fetchone()
            return int(own_id)

        return await self._database.write(job)

    async def state(self, destination: ServerName, entry_id: int) -> Json | None:
        """How far an entry has come; None if there is none of that ID.

        `{"id", "state": "queued", "sending", "delivered", "rejected" or "dropped",
        "txn_id", "attempts", "next_attempt_ts", "error", "reply", "connection",
        "remarks": sentences about what is wrong with the reply}`.
        """

        def job(cursor: Cursor) -> Json | None:
            row = cursor.execute(
                "SELECT CASE WHEN e.dropped_ts IS NOT NULL THEN 'dropped'"
                " WHEN t.delivered_ts IS NOT NULL THEN 'delivered'"
                " WHEN t.rejected_ts IS NOT NULL THEN 'rejected'"
                " WHEN e.txn_id IS NOT NULL AND d.holder IS NOT NULL THEN 'sending'"
                " ELSE 'queued' END,"
                " e.txn_id, t.attempts, t.last_error, t.reply, t.remarks, t.connection,"
                " CASE WHEN d.failures > 0 THEN d.due_ts END"
                " FROM outbound_entries e"
                " LEFT JOIN outbound_transactions t"
                " ON t.destination = e.destination AND t.txn_id = e.txn_id"
                " LEFT JOIN destinations d ON d.server_name = e.destination"
                " WHERE e.destination = ? AND e.id = ?",
                (destination.name, entry_id),
            ).fetchone()
            return None if row is None else {"id": entry_id, **_describe(row)}

        return await self._database.read(job)

    async def destinations(self) -> list[ServerName]:
        """The destinations that there is something to tell of."""

        def job(cursor: Cursor) -> list[ServerName]:
            rows = cursor.execute(
                "SELECT server_name FROM destinations"
                " WHERE queued > 0 OR rejected > 0 OR dropped > 0"
            ).fetchall()
            return [ServerName.parse(name) for [name] in rows]

        return await self._database.read(job)

    async def summary(self, destination: ServerName) -> Json | None:
        """What `destination` is owed and how it fails; None if it is neither.

        `{"queued": entries that nothing has come of yet, "failures": in a row,
        "next_attempt_ts", "last_error", "rejected": transactions that it would not
        have, "dropped": EDUs that were stale}`.
        """

        def job(cursor: Cursor) -> Json | None:
            row = cursor.execute(
                "SELECT queued, failures,"
                " CASE WHEN failures > 0 AND holder IS NULL THEN due_ts END,"
                " last_error, rejected, dropped FROM destinations WHERE server_name = ?"
                " AND (queued > 0 OR rejected > 0 OR dropped > 0)",
                (destination.name,),
            ).fetchone()
            if row is None:
                return None
            queued, failures, next_attempt_ts, last_error, rejected, dropped = row
            return {
                "queued": queued,
                "failures": failures,
                "next_attempt_ts": next_attempt_ts,
                "last_error": last_error,
                "rejected": rejected,
                "dropped": dropped,
            }

        return await self._database.read(job)

    async def owed(self) -> Owed:
        """What is owed to all destinations together."""

        def job(cursor: Cursor) -> Owed:
            entries, waiting, backing_off = cursor.execute(
                "SELECT COALESCE(SUM(queued), 0),"
                " COALESCE(SUM(CASE WHEN failures = 0 THEN 1 ELSE 0 END), 0),"
                " COALESCE(SUM(CASE WHEN failures > 0 THEN 1 ELSE 0 END), 0)"
                " FROM destinations WHERE queued > 0"
            ).fetchone()
            # Of each destination the first of those that are cut, and of those that are
            # not: there may be a million. Entries of an older store have no time.
            [oldest_ts] = cursor.execute(
                "SELECT MIN(first_ts) FROM ("
                "SELECT (SELECT e.queued_ts FROM outbound_entries e"
                " WHERE e.destination = d.server_name"
                " AND e.txn_id IS NULL AND e.dropped_ts IS NULL"
                " ORDER BY e.id LIMIT 1) AS first_ts"
                " FROM destinations d WHERE d.queued > 0"
                " UNION ALL "
                "SELECT (SELECT MIN(e.queued_ts) FROM outbound_entries e"
                " WHERE e.destination = t.destination AND e.txn_id = t.txn_id)"
                " FROM outbound_transactions t"
                " WHERE t.delivered_ts IS NULL AND t.rejected_ts IS NULL"
                ") AS firsts WHERE first_ts > 0"
            ).fetchone()
            seconds = 0.0
            if oldest_ts is not None:
                seconds = max(0, self._clock(cursor) - oldest_ts) / 1000
            return Owed(int(entries), seconds, int(waiting), int(backing_off))

        return await self._database.read(job)

    async def end_back_off(self, destination: ServerName) -> None:
        """Let the next attempt be due now, or as soon as the present one has failed."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET failures = 0, at_once ="
                " CASE WHEN holder IS NULL THEN 0 ELSE 1 END, due_ts ="
                " CASE WHEN holder IS NULL THEN ? ELSE due_ts END"
                " WHERE server_name = ? AND due_ts IS NOT NULL",
                (self._clock(cursor), destination.name),
            )

        await self._database.write(job)

    async def revive(self, destination: ServerName) -> bool:
        """Begin the back-off of a destination that shows life anew; whether it had one.

        The next attempt is not due before `earliest_ts`: who is too busy, or is heard
        and cannot be reached, is not tried all the time.
        """

        def look(cursor: Cursor) -> bool:
            return bool(
                cursor.execute(
                    "SELECT 1 FROM destinations WHERE server_name = ? AND failures > 0",
                    (destination.name,),
                ).fetchall()
            )

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET failures = 0, due_ts ="
                " CASE WHEN holder IS NULL AND due_ts > earliest_ts THEN earliest_ts"
                " ELSE due_ts END WHERE server_name = ? AND failures > 0",
                (destination.name,),
            )

        fails = await self._database.read(look)
        if fails:
            await self._database.write(job)
        return fails


def _describe(row: Sequence[Any]) -> Json:
    state, txn_id, attempts, last_error, reply, remarks, connection, next_ts = row
    return {
        "state": state,
        "txn_id": txn_id,
        "attempts": attempts or 0,
        "next_attempt_ts": next_ts if state == "queued" else None,
        "error": None if state == "delivered" else last_error,
        "reply": _json(reply),
        "remarks": _json(remarks) or [],
        "connection": _json(connection),
    }


def _json(text: str | None) -> object:
    return None if text is None else parse(text.encode("utf-8"))


def _as_text(items: Sequence[Json]) -> str:
    return encode(list(items)).decode("utf-8")
