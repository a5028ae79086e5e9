"""What other servers delivered: transactions, their PDUs and EDUs, our replies.

Rules of the room: a transaction, its verdicts and its reply are one commit. The same
(origin, transaction ID) is recorded once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homeserver.protocol.canonical import Json, encode, parse
from homeserver.protocol.names import RoomId, ServerName
from homeserver.storage.changes import Changes
from homeserver.storage.database import Cursor, Database, Short
from homeserver.storage.judged_pdus import (
    EventOfVersion,
    JudgedPdu,
    load_pdus,
    load_room_versions,
    load_signers,
    record_pdus,
)

# Characters of a page of transactions: a single one may have thirteen million, and a
# hundred of those would not fit into the memory of many machines.
MAX_PAGE_LENGTH = 8_000_000

# Up to here, a transaction is recorded within a millisecond.
_MAX_SHORT_BYTES = 65536


@dataclass(frozen=True, slots=True)
class ReceivedTransaction:
    """A transaction as it is recorded."""

    origin: ServerName
    txn_id: str
    received_ts: int
    """In milliseconds since 1970."""

    key_id: str
    """The key that proved the origin."""

    client_certificate: str | None
    """SHA-256 of the client certificate that it came with, in hexadecimal."""

    pdus: Sequence[JudgedPdu]
    edus: Sequence[Json]
    problems: Sequence[str]
    """What is wrong with it, though it was taken: a sentence each."""

    reply: bytes = field(repr=False)


class ReceivedStore:
    """The received transactions of one server."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    def end_waits(self) -> None:
        """From now on nobody waits for a transaction."""
        self._changes.end_waits()

    async def reply_to(self, origin: ServerName, txn_id: str) -> bytes | None:
        """The reply that this transaction got, on the disk; None if it is new."""

        def job(cursor: Cursor) -> bytes | None:
            row = cursor.execute(
                "SELECT reply FROM received_transactions"
                " WHERE origin = ? AND txn_id = ?",
                (origin.name, txn_id),
            ).fetchone()
            return None if row is None else bytes(row[0])

        reply = await self._database.read(Short(job))
        if reply is not None:
            # Who asks may have been told that nobody knows whether it is.
            await self._database.settle()
        return reply

    async def room_versions(self, room_ids: Sequence[RoomId]) -> dict[RoomId, str]:
        """The versions of those rooms whose create event was accepted."""
        if not room_ids:
            return {}

        def job(cursor: Cursor) -> dict[RoomId, str]:
            return load_room_versions(cursor, room_ids)

        return await self._database.read(Short(job))

    async def signers(
        self, events: Sequence[EventOfVersion]
    ) -> Mapping[EventOfVersion, frozenset[ServerName]]:
        """The servers whose signatures of these events were verified before."""

        def job(cursor: Cursor) -> Mapping[EventOfVersion, frozenset[ServerName]]:
            return load_signers(cursor, events)

        return await self._database.read(Short(job))

    async def record(self, received: ReceivedTransaction) -> bytes:
        """Record a transaction; return the reply that is now on the disk.

        That is the earlier one where the transaction was recorded before.
        """
        edus = encode(list(received.edus))
        problems = encode(list(received.problems))

        def job(cursor: Cursor) -> bytes:
            # First of all, and held until the commit: whoever records the same
            # transaction elsewhere waits here, and then finds it recorded.
            [own_id] = cursor.execute(
                "UPDATE last_received SET id = id + 1 RETURNING id"
            ).fetchone()
            row = cursor.execute(
                "INSERT INTO received_transactions (id, origin, txn_id, received_ts,"
                " key_id, client_certificate, edus, problems, reply)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (origin, txn_id) DO NOTHING RETURNING id",
                (
                    own_id,
                    received.origin.name,
                    received.txn_id,
                    received.received_ts,
                    received.key_id,
                    received.client_certificate,
                    edus.decode("utf-8"),
                    problems.decode("utf-8"),
                    received.reply,
                ),
            ).fetchone()
            if row is None:
                [earlier] = cursor.execute(
                    "SELECT reply FROM received_transactions"
                    " WHERE origin = ? AND txn_id = ?",
                    (received.origin.name, received.txn_id),
                ).fetchone()
                return bytes(earlier)
            record_pdus(cursor, own_id, received.pdus)
            return received.reply

        length = (
            len(edus) + len(problems) + sum(len(pdu.event) for pdu in received.pdus)
        )
        is_short = length <= _MAX_SHORT_BYTES
        reply = await self._database.write(Short(job) if is_short else job)
        self._changes.announce()
        return reply

    async def after(
        self, after: int, origin: ServerName | None, limit: int, wait: float
    ) -> list[Json]:
        """Up to `limit` transactions with an ID above `after`, oldest first.

        Fewer where they take more than `MAX_PAGE_LENGTH`. Where there are none, waits
        up to `wait` seconds for one.
        """
        chosen = (origin and origin.name, origin is None)

        def job(cursor: Cursor) -> list[Json]:
            sizes = cursor.execute(
                "SELECT id, length(edus) + (SELECT coalesce(sum(length(event)), 0)"
                " FROM received_pdus WHERE transaction_id = id)"
                " FROM received_transactions"
                " WHERE id > ? AND (origin = ? OR ?) ORDER BY id LIMIT ?",
                (after, *chosen, limit),
            ).fetchall()
            rows = cursor.execute(
                "SELECT id, origin, txn_id, received_ts, key_id, client_certificate,"
                " edus, problems FROM received_transactions"
                " WHERE id > ? AND id <= ? AND (origin = ? OR ?) ORDER BY id",
                (after, _last_of_page(after, sizes), *chosen),
            ).fetchall()
            return [_as_json(cursor, row) for row in rows]

        async def look() -> list[Json]:
            found = await self._database.read(job)
            if found:
                # After a power cut, others would have the IDs of what is lost.
                await self._database.settle()
            return found

        return await self._changes.until(look, bool, wait)


def _last_of_page(after: int, sizes: Sequence[tuple[int, int]]) -> int:
    """The last of the transactions that fit into a page; one always does."""
    last, length = after, 0
    for own_id, size in sizes:
        length += size
        if last != after and length > MAX_PAGE_LENGTH:
            break
        last = own_id
    return last


def _as_json(cursor: Cursor, row: Sequence[Any]) -> Json:
    own_id, origin, txn_id, received_ts, key_id, certificate, edus, problems = row
    return {
        "id": own_id,
        "origin": origin,
        "txn_id": txn_id,
        "received_ts": received_ts,
        "verified_by": {"key_id": key_id, "client_certificate": certificate},
        "pdus": load_pdus(cursor, own_id),
        "edus": parse(str(edus).encode("utf-8")),
        "problems": parse(str(problems).encode("utf-8")),
    }
