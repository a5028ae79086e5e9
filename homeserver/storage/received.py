"""What other servers delivered: transactions, their PDUs and EDUs, our replies.

Rules of the room: a transaction, its verdicts and its reply are one commit. The same
(origin, transaction ID) is recorded once with each content that it comes with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.storage.engine.interface import Cursor, Database, Short
from homeserver.storage.judged_pdus import (
    EventOfVersion,
    JudgedPdu,
    load_room_versions,
    load_signers,
    record_pdus,
)
from homeserver.storage.notifier import Changes
from homeserver.storage.pages import load_page
from homeserver.storage.repeats import Known
from homeserver.storage.retention import pruned_id

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

    digest: bytes = b""
    """SHA-256 of the PDUs and EDUs that came, known or not."""

    remarks: Sequence[str] = ()
    """What is remarkable about it, though nothing is wrong: a sentence each."""

    earlier_contents: int = 0
    """How often its ID came before with other content, as far as was looked."""


class ReceivedStore:
    """The received transactions of one server."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    def end_waits(self) -> None:
        """From now on nobody waits for a transaction."""
        self._changes.end_waits()

    async def reply_to(
        self, origin: ServerName, txn_id: str, digest: bytes = b""
    ) -> bytes | None:
        """The reply that this content of a transaction got; None if it is new."""

        def job(cursor: Cursor) -> bytes | None:
            return _load_reply(cursor, origin, txn_id, digest)

        reply = await self._database.read(Short(job))
        if reply is not None:
            # Who asks may have been told that nobody knows whether it is on the disk.
            await self._database.settle()
        return reply

    async def known_under(self, origin: ServerName, txn_id: str) -> Known:
        """What is recorded under a transaction ID."""

        def job(cursor: Cursor) -> Known:
            known = Known()
            contents = cursor.execute(
                "SELECT id FROM received_transactions WHERE origin = ? AND txn_id = ?"
                " ORDER BY id",
                (origin.name, txn_id),
            ).fetchall()
            for own_id in contents:  # one is in memory at a time
                [edus] = cursor.execute(
                    "SELECT edus FROM received_transactions WHERE id = ?", own_id
                ).fetchone()
                known.add_content(edus)
                for event_id, event, verdict in cursor.execute(
                    "SELECT event_id, event, verdict FROM received_pdus"
                    " WHERE transaction_id = ? ORDER BY position",
                    own_id,
                ).fetchall():
                    known.add_pdu(event_id, event.encode("utf-8"), verdict)
            return known

        return await self._database.read(job)

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

    async def record(self, received: ReceivedTransaction) -> bytes | None:
        """Record a transaction; return the reply that is now on the disk.

        That is the earlier one where the same content was recorded before. None if
        other content is recorded under its ID than was looked at; then nothing is.
        """
        edus, problems, remarks = (
            encode(list(each)).decode("utf-8")
            for each in (received.edus, received.problems, received.remarks)
        )
        name = (received.origin.name, received.txn_id)

        def job(cursor: Cursor) -> bytes | None:
            # First of all, and held until the commit: whoever records the same
            # transaction elsewhere waits here, and then finds it recorded.
            [own_id] = cursor.execute(
                "UPDATE last_received SET id = id + 1 RETURNING id"
            ).fetchone()
            row = cursor.execute(
                "INSERT INTO received_transactions (id, origin, txn_id, digest,"
                " received_ts, key_id, client_certificate, edus, problems, remarks,"
                " reply) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
                " WHERE (SELECT COUNT(*) FROM received_transactions"
                " WHERE origin = ? AND txn_id = ?) = ? RETURNING id",
                (
                    own_id,
                    *name,
                    received.digest,
                    received.received_ts,
                    received.key_id,
                    received.client_certificate,
                    edus,
                    problems,
                    remarks,
                    received.reply,
                    *name,
                    received.earlier_contents,
                ),
            ).fetchone()
            if row is None:
                return _load_reply(
                    cursor, received.origin, received.txn_id, received.digest
                )
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

        Fewer where they are long. Where there are none, waits up to `wait` seconds for
        one.
        """

        def job(cursor: Cursor) -> list[Json]:
            # Those that have lost their content are kept for their replies.
            first = max(after, pruned_id(cursor))
            return load_page(cursor, first, origin, limit)

        async def look() -> list[Json]:
            found = await self._database.read(job)
            if found:
                # After a power cut, others would have the IDs of what is lost.
                await self._database.settle()
            return found

        return await self._changes.until(look, bool, wait)


def _load_reply(
    cursor: Cursor, origin: ServerName, txn_id: str, digest: bytes
) -> bytes | None:
    # What was recorded without a digest is taken for whatever comes under its ID.
    row = cursor.execute(
        "SELECT reply FROM received_transactions"
        " WHERE origin = ? AND txn_id = ? AND digest IN (?, ?)",
        (origin.name, txn_id, digest, b""),
    ).fetchone()
    return None if row is None else bytes(row[0])
