"""Received transactions: their PDUs and EDUs, and our replies.

Rules: a transaction, its verdicts and its reply are one commit. The same (origin,
transaction ID) is recorded once for each different content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.protocol.remarks import Remark
from homeserver.storage.engine.interface import Cursor, Database, Short
from homeserver.storage.judged_pdus import (
    EventOfVersion,
    JudgedPdu,
    has_untimed_signers,
    load_room_versions,
    load_signers,
    record_pdus,
)
from homeserver.storage.notifier import Changes
from homeserver.storage.pages import ListedTransaction, load_page
from homeserver.storage.repeats import Known
from homeserver.storage.retention import pruned_id

# Up to this size, a transaction is recorded within a millisecond.
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
    """What is wrong with it, though it was accepted: a sentence each."""

    reply: bytes = field(repr=False)

    digest: bytes = b""
    """SHA-256 of all its PDUs and EDUs, known ones too."""

    remarks: Sequence[Remark] = ()
    """What is unusual about it, though nothing is wrong: a sentence each."""

    earlier_contents: int = 0
    """How often its ID was received before with other content, when that was read."""


class ReceivedStore:
    """The transactions that one of our names received."""

    def __init__(
        self, database: Database, server_name: ServerName, changes: Changes
    ) -> None:
        self._database = database
        self.server_name = server_name
        self._changes = changes
        self._has_untimed = True  # as far as is known

    def end_waits(self) -> None:
        """End all waits for a transaction, now and from now on."""
        self._changes.end_waits()

    async def reply_to(
        self, origin: ServerName, txn_id: str, digest: bytes = b""
    ) -> bytes | None:
        """The reply that this content of a transaction got; None if it is new."""

        def job(cursor: Cursor) -> bytes | None:
            if not self._count_contents(cursor, origin, txn_id):
                return None
            return self._load_reply(cursor, origin, txn_id, digest)

        reply = await self._database.read(Short(job))
        if reply is not None:
            # The row may not be synced yet: its first request may have failed for that.
            await self._database.settle()
        return reply

    async def known_under(self, origin: ServerName, txn_id: str) -> Known:
        """What is recorded under a transaction ID."""

        def job(cursor: Cursor) -> Known:
            known = Known()
            contents = cursor.execute(
                "SELECT id FROM received_transactions"
                " WHERE server_name = ? AND origin = ? AND txn_id = ? ORDER BY id",
                (self.server_name.name, origin.name, txn_id),
            ).fetchall()
            for own_id in contents:  # one is in memory at a time
                row = cursor.execute(
                    "SELECT edus FROM received_transactions WHERE id = ?", own_id
                ).fetchone()
                if row is None:
                    continue  # pruned since: each statement sees what is committed
                known.add_content(*row)
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
            return load_room_versions(cursor, self.server_name, room_ids)

        return await self._database.read(Short(job))

    async def signers(
        self, events: Sequence[EventOfVersion]
    ) -> Mapping[EventOfVersion, frozenset[ServerName]]:
        """The servers whose signatures of these events were verified before."""

        def job(cursor: Cursor) -> Mapping[EventOfVersion, frozenset[ServerName]]:
            if self._has_untimed:  # once they are pruned, there are no others
                self._has_untimed = has_untimed_signers(cursor, self.server_name)
            return load_signers(
                cursor, self.server_name, events, with_untimed=self._has_untimed
            )

        return await self._database.read(Short(job))

    async def record(self, received: ReceivedTransaction) -> bytes | None:
        """Record a transaction; return the reply that is now on the disk.

        That is the earlier reply if the same content was recorded before. None if the
        contents under its ID have changed since they were read; then nothing is
        recorded.
        """
        edus, problems = (
            encode(list(each)).decode("utf-8")
            for each in (received.edus, received.problems)
        )
        remarks = msgspec.json.encode(received.remarks).decode("utf-8")
        own = self.server_name

        def job(cursor: Cursor) -> bytes | None:
            # First, as it locks the row until the commit: another process that records
            # the same transaction waits here, and then finds it recorded.
            [own_id] = cursor.execute(
                "UPDATE last_received SET id = id + 1 RETURNING id"
            ).fetchone()
            origin, txn_id = received.origin, received.txn_id
            contents = self._count_contents(cursor, origin, txn_id)
            if contents != received.earlier_contents:
                return self._load_reply(cursor, origin, txn_id, received.digest)
            cursor.execute(
                "INSERT INTO received_transactions (id, server_name, origin, txn_id,"
                " digest, received_ts, key_id, client_certificate, edus, problems,"
                " remarks, reply) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    own_id,
                    own.name,
                    origin.name,
                    txn_id,
                    received.digest,
                    received.received_ts,
                    received.key_id,
                    received.client_certificate,
                    edus,
                    problems,
                    remarks,
                    received.reply,
                ),
            )
            if received.pdus:
                record_pdus(cursor, own, own_id, received.pdus)
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
    ) -> list[ListedTransaction]:
        """Up to `limit` transactions with an ID above `after`, oldest first.

        Fewer if they are long. If there are none, waits up to `wait` seconds for one.
        """

        def job(cursor: Cursor) -> list[ListedTransaction]:
            # Transactions without their content are kept for their replies alone.
            first = max(after, pruned_id(cursor))
            page = load_page(cursor, self.server_name, first, origin, limit)
            return [transaction for _, transaction in page]

        async def look() -> list[ListedTransaction]:
            found = await self._database.read(job)
            if found:
                # Unsynced rows may be lost in a power cut, and their IDs reused.
                await self._database.settle()
            return found

        return await self._changes.until(look, bool, wait)

    def _count_contents(self, cursor: Cursor, origin: ServerName, txn_id: str) -> int:
        """How many contents were recorded under a transaction ID."""
        [count] = cursor.execute(
            "SELECT COUNT(*) FROM received_transactions"
            " WHERE server_name = ? AND origin = ? AND txn_id = ?",
            (self.server_name.name, origin.name, txn_id),
        ).fetchone()
        return int(count)

    def _load_reply(
        self, cursor: Cursor, origin: ServerName, txn_id: str, digest: bytes
    ) -> bytes | None:
        # A transaction that was recorded without a digest matches any content.
        row = cursor.execute(
            "SELECT reply FROM received_transactions"
            " WHERE server_name = ? AND origin = ? AND txn_id = ?"
            " AND digest IN (?, ?)",
            (self.server_name.name, origin.name, txn_id, digest, b""),
        ).fetchone()
        return None if row is None else bytes(row[0])
