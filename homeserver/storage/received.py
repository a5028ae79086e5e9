"""What other servers delivered: transactions, their PDUs and EDUs, our replies.

Rules of the room: a transaction, its verdicts and its reply are one commit. The same
(origin, transaction ID) is recorded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from homeserver.protocol.assumptions import Basis
from homeserver.protocol.canonical import Json, encode, parse
from homeserver.protocol.names import EventId, RoomId, ServerName
from homeserver.storage.changes import Changes
from homeserver.storage.database import Cursor, Database, Short

# Characters of a page of transactions: a single one may have thirteen million, and a
# hundred of those would not fit into the memory of many machines.
MAX_PAGE_LENGTH = 8_000_000

# Up to here, a transaction is recorded within a millisecond.
_MAX_SHORT_BYTES = 65536

OUTCOMES = ("accepted", "redacted", "rejected")
"""What a verdict begins with."""

REJECTED = "rejected"
"""What the verdict of a refused PDU begins with."""


@dataclass(frozen=True, slots=True)
class JudgedPdu:
    """One PDU of a transaction, and what we made of it."""

    event_id: EventId | None
    """None where its form lets none be computed."""

    room_version: str | None
    """The version it was judged by; None where it names an unknown one."""

    verdict: str
    """`accepted`, `redacted: REASON` or `rejected: REASON`."""

    event: bytes = field(repr=False)
    """In canonical JSON: as received, or as redacted if the verdict says so."""

    basis: Basis | None = None
    """What the room version rests on."""

    founds: RoomId | None = None
    """The room that an accepted create event founds."""

    @property
    def outcome(self) -> str:
        """The verdict without its reason: one of `OUTCOMES`."""
        return self.verdict.partition(":")[0]


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
            found = {}
            for room_id in room_ids:
                row = cursor.execute(
                    "SELECT room_version FROM rooms WHERE room_id = ?", (room_id,)
                ).fetchone()
                if row is not None:
                    found[room_id] = row[0]
            return found

        return await self._database.read(Short(job))

    async def accepted_events(
        self, events: Sequence[tuple[EventId, str]]
    ) -> set[tuple[EventId, str]]:
        """Those of (event ID, room version) that were found to be signed before."""

        def job(cursor: Cursor) -> set[tuple[EventId, str]]:
            # One statement: fifty take three times as long.
            asked = ", ".join(["(?, ?)"] * len(events))
            rows = cursor.execute(
                f"SELECT column1, column2 FROM (VALUES {asked}) AS asked"  # noqa: S608
                " WHERE EXISTS (SELECT 1 FROM received_pdus WHERE event_id = column1"
                " AND room_version = column2 AND verdict NOT LIKE ?)",
                (*chain.from_iterable(events), f"{REJECTED}%"),
            ).fetchall()
            return {(event_id, version) for event_id, version in rows}

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
            _record_pdus(cursor, own_id, received.pdus)
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


def _record_pdus(
    cursor: Cursor, transaction_id: int, pdus: Sequence[JudgedPdu]
) -> None:
    cursor.executemany(
        "INSERT INTO received_pdus (transaction_id, position, event_id,"
        " room_version, room_version_basis, verdict, event)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                transaction_id,
                position,
                pdu.event_id,
                pdu.room_version,
                None if pdu.basis is None else pdu.basis.value,
                pdu.verdict,
                pdu.event.decode("utf-8"),
            )
            for position, pdu in enumerate(pdus)
        ],
    )
    cursor.executemany(
        "INSERT INTO rooms (room_id, room_version) VALUES (?, ?)"
        " ON CONFLICT (room_id) DO NOTHING",
        [(pdu.founds, pdu.room_version) for pdu in pdus if pdu.founds is not None],
    )


def _as_json(cursor: Cursor, row: Sequence[object]) -> Json:
    own_id, origin, txn_id, received_ts, key_id, certificate, edus, problems = row
    pdus = cursor.execute(
        "SELECT event_id, room_version, room_version_basis, verdict, event"
        " FROM received_pdus WHERE transaction_id = ? ORDER BY position",
        (own_id,),
    ).fetchall()
    return {
        "id": own_id,
        "origin": origin,
        "txn_id": txn_id,
        "received_ts": received_ts,
        "verified_by": {"key_id": key_id, "client_certificate": certificate},
        "pdus": [
            {
                "event_id": event_id,
                "room_version": room_version,
                "room_version_basis": basis,
                "verdict": verdict,
                "event": parse(event.encode("utf-8")),
            }
            for event_id, room_version, basis, verdict, event in pdus
        ],
        "edus": parse(str(edus).encode("utf-8")),
        "problems": parse(str(problems).encode("utf-8")),
    }
