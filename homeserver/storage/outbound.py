"""What is owed to other servers: entries in order, cut once into transactions.

Rules of the room: an entry is never split. A transaction that was cut keeps its ID
and its bytes until it is delivered; only then is the next one of its destination cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.protocol.canonical import Json, encode, parse
from homeserver.protocol.names import ServerName
from homeserver.protocol.transactions import Size, cut
from homeserver.storage.database import Cursor, Database

_MAX_ENTRIES = 150  # as many as 50 PDUs and 100 EDUs can be


@dataclass(frozen=True, slots=True)
class OwedTransaction:
    """A transaction that its destination has not acknowledged."""

    destination: ServerName
    txn_id: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BackOff:
    """A destination that failed last time."""

    failures: int
    """In a row."""

    next_attempt_ts: int
    """In milliseconds since 1970."""


class OutboundQueue:
    """The queues of all destinations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, destination: ServerName, pdus: Sequence[Json], edus: Sequence[Json]
    ) -> int:
        """Queue what fits into one transaction; return the entry's ID."""
        parameters = (destination.name, _as_text(pdus), _as_text(edus))

        def job(cursor: Cursor) -> int:
            [own_id] = cursor.execute(
                "INSERT INTO outbound_entries (destination, pdus, edus)"
                " VALUES (?, ?, ?) RETURNING id",
                parameters,
            ).fetchone()
            return int(own_id)

        return await self._database.write(job)

    async def destinations(self) -> list[ServerName]:
        """The destinations that something is owed to."""

        def job(cursor: Cursor) -> list[ServerName]:
            rows = cursor.execute(
                "SELECT destination FROM outbound_entries WHERE txn_id IS NULL"
                " UNION SELECT destination FROM outbound_transactions"
                " WHERE delivered_ts IS NULL"
            ).fetchall()
            return [ServerName.parse(name) for [name] in rows]

        return await self._database.read(job)

    async def summary(self, destination: ServerName) -> Json | None:
        """What `destination` is owed and how it fails; None if nothing and not.

        `{"queued": entries not delivered, "failures", "next_attempt_ts",
        "last_error"}`.
        """

        def job(cursor: Cursor) -> Json | None:
            name = (destination.name,)
            [queued] = cursor.execute(
                "SELECT count(*) FROM outbound_entries e WHERE e.destination = ? AND"
                " (e.txn_id IS NULL OR EXISTS (SELECT 1 FROM outbound_transactions t"
                " WHERE t.destination = e.destination AND t.txn_id = e.txn_id"
                " AND t.delivered_ts IS NULL))",
                name,
            ).fetchone()
            back_off = cursor.execute(
                "SELECT failures, next_attempt_ts FROM back_offs WHERE destination = ?",
                name,
            ).fetchone()
            owed = cursor.execute(
                "SELECT last_error FROM outbound_transactions"
                " WHERE destination = ? AND delivered_ts IS NULL",
                name,
            ).fetchone()
            if not queued and back_off is None:
                return None
            failures, next_attempt_ts = back_off or (0, None)
            return {
                "queued": queued,
                "failures": failures,
                "next_attempt_ts": next_attempt_ts,
                "last_error": None if owed is None else owed[0],
            }

        return await self._database.read(job)

    async def end_back_off(self, destination: ServerName) -> None:
        """Let the next attempt be due now."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "DELETE FROM back_offs WHERE destination = ?", (destination.name,)
            )

        await self._database.write(job)

    async def next_transaction(
        self,
        destination: ServerName,
        now_ts: int,
        build: Callable[[list[object], list[object]], Json],
    ) -> OwedTransaction | None:
        """The transaction that `destination` is owed first, cut now if none is.

        `build` makes a body of PDUs and EDUs. None if nothing is owed.
        """

        def job(cursor: Cursor) -> OwedTransaction | None:
            owed = cursor.execute(
                "SELECT txn_id, body FROM outbound_transactions"
                " WHERE destination = ? AND delivered_ts IS NULL",
                (destination.name,),
            ).fetchone()
            if owed is None:
                owed = _cut(cursor, destination, now_ts, build)
            if owed is None:
                return None
            return OwedTransaction(destination, owed[0], bytes(owed[1]))

        return await self._database.write(job)

    async def back_off(self, destination: ServerName) -> BackOff | None:
        """How `destination` fails; None if its last attempt did not."""

        def job(cursor: Cursor) -> BackOff | None:
            row = cursor.execute(
                "SELECT failures, next_attempt_ts FROM back_offs WHERE destination = ?",
                (destination.name,),
            ).fetchone()
            return None if row is None else BackOff(*row)

        return await self._database.read(job)

    async def record_failure(
        self, owed: OwedTransaction, error: str, back_off: BackOff
    ) -> None:
        """Record an attempt that was in vain, and when the next one is due."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE outbound_transactions SET attempts = attempts + 1,"
                " last_error = ? WHERE destination = ? AND txn_id = ?",
                (error, owed.destination.name, owed.txn_id),
            )
            cursor.execute(
                "INSERT INTO back_offs (destination, failures, next_attempt_ts)"
                " VALUES (?, ?, ?) ON CONFLICT (destination) DO UPDATE SET"
                " failures = excluded.failures,"
                " next_attempt_ts = excluded.next_attempt_ts",
                (
                    owed.destination.name,
                    back_off.failures,
                    back_off.next_attempt_ts,
                ),
            )

        await self._database.write(job)

    async def record_delivery(
        self, owed: OwedTransaction, reply: Json | None, connection: Json, now_ts: int
    ) -> None:
        """Record that the destination has acknowledged a transaction."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE outbound_transactions SET attempts = attempts + 1,"
                " delivered_ts = ?, reply = ?, connection = ?, body = ''"
                " WHERE destination = ? AND txn_id = ?",
                (
                    now_ts,
                    encode(reply).decode("utf-8"),
                    encode(connection).decode("utf-8"),
                    owed.destination.name,
                    owed.txn_id,
                ),
            )
            # What was delivered is not owed any more; that it was is still told.
            cursor.execute(
                "UPDATE outbound_entries SET pdus = '', edus = ''"
                " WHERE destination = ? AND txn_id = ?",
                (owed.destination.name, owed.txn_id),
            )
            cursor.execute(
                "DELETE FROM back_offs WHERE destination = ?", (owed.destination.name,)
            )

        await self._database.write(job)

    async def state(self, destination: ServerName, entry_id: int) -> Json | None:
        """How far an entry has come; None if there is none of that ID.

        `{"state": "queued" or "delivered", "txn_id", "attempts", "next_attempt_ts",
        "error", "reply", "connection"}`.
        """

        def job(cursor: Cursor) -> Json | None:
            row = cursor.execute(
                "SELECT e.txn_id, t.attempts, t.last_error, t.delivered_ts, t.reply,"
                " t.connection, b.next_attempt_ts FROM outbound_entries e"
                " LEFT JOIN outbound_transactions t"
                " ON t.destination = e.destination AND t.txn_id = e.txn_id"
                " LEFT JOIN back_offs b ON b.destination = e.destination"
                " WHERE e.destination = ? AND e.id = ?",
                (destination.name, entry_id),
            ).fetchone()
            return None if row is None else _state(row)

        return await self._database.read(job)


def _cut(
    cursor: Cursor,
    destination: ServerName,
    now_ts: int,
    build: Callable[[list[object], list[object]], Json],
) -> tuple[str, bytes] | None:
    rows = cursor.execute(
        "SELECT id, pdus, edus FROM outbound_entries"
        " WHERE destination = ? AND txn_id IS NULL ORDER BY id LIMIT ?",
        (destination.name, _MAX_ENTRIES),
    ).fetchall()
    if not rows:
        return None
    entries = [
        (own_id, _as_list(pdus), _as_list(edus), len((pdus + edus).encode("utf-8")))
        for own_id, pdus, edus in rows
    ]
    taken = entries[
        : cut(Size(len(pdus), len(edus), size) for _, pdus, edus, size in entries)
    ]
    # The time keeps an ID new even after the store was made anew, which would begin
    # to count entries at 1 again: a receiver never looks at a used ID's content.
    txn_id = f"{now_ts}-{taken[0][0]}"
    body = encode(
        build(
            [pdu for _, pdus, _, _ in taken for pdu in pdus],
            [edu for _, _, edus, _ in taken for edu in edus],
        )
    )
    cursor.execute(
        "INSERT INTO outbound_transactions (destination, txn_id, body, attempts)"
        " VALUES (?, ?, ?, 0)",
        (destination.name, txn_id, body),
    )
    cursor.execute(
        "UPDATE outbound_entries SET txn_id = ?"
        " WHERE destination = ? AND txn_id IS NULL AND id <= ?",
        (txn_id, destination.name, taken[-1][0]),
    )
    return txn_id, body


def _state(row: Sequence[Any]) -> Json:
    txn_id, attempts, last_error, delivered_ts, reply, connection, next_attempt_ts = row
    is_delivered = delivered_ts is not None
    return {
        "state": "delivered" if is_delivered else "queued",
        "txn_id": txn_id,
        "attempts": attempts or 0,
        "next_attempt_ts": None if is_delivered else next_attempt_ts,
        "error": None if is_delivered else last_error,
        "reply": None if reply is None else parse(reply.encode("utf-8")),
        "connection": (
            None if connection is None else parse(connection.encode("utf-8"))
        ),
    }


def _as_text(items: Sequence[Json]) -> str:
    return encode(list(items)).decode("utf-8")


def _as_list(text: str) -> list[object]:
    items = parse(text.encode("utf-8"))
    return items if isinstance(items, list) else []
