"""Batching: a transaction is built once of queued entries, and keeps its bytes.

Rules: an entry is never split. A transaction keeps its ID and its bytes until it is
delivered, rejected or dropped; only then is the next one of its queue built. The caller
of these functions has leased or locked the queue, in the same commit.

Specification: Server-server API, "Transactions".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from homeserver.protocol.canonical_json import (
    Encoded,
    Json,
    encode,
    encode_integers,
    split,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark
from homeserver.protocol.transactions import (
    ENVELOPE_BYTES,
    MAX_EDUS,
    MAX_PDUS,
    MAX_TRANSACTION_BYTES,
    Size,
    batch_size,
    build,
)
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.queue_id import QueueId

# How long typing and presence are useful: Synapse, too, omits them for a destination
# that was away for an hour.
_STALE_MILLISECONDS = 3_600_000

_MAX_DROPPED = 5000  # entries in one commit, which other writers wait for


class Acknowledged(NamedTuple):
    """A destination's reply to a transaction that it accepted, and its connection."""

    reply: Json | None
    connection: Json
    remarks: Sequence[Remark] = ()
    """What is wrong with the reply."""


@dataclass(frozen=True, slots=True)
class PendingTransaction:
    """A transaction without an outcome: not delivered, rejected or dropped."""

    queue: QueueId
    txn_id: str
    body: bytes = field(repr=False)
    entries: int
    """The number of queued entries in it."""

    slash: bool = False
    """Whether its path ends with a slash: the last form that the destination accepted,
    or the other form as an attempt."""

    attempts: int = 1
    """The attempts under its lease, when an outcome is recorded."""

    @property
    def destination(self) -> ServerName:
        """The server that it is for."""
        return self.queue.destination


def pending_transaction(cursor: Cursor, queue: QueueId) -> PendingTransaction | None:
    """The transaction of a queue that has no outcome yet."""
    row = cursor.execute(
        "SELECT txn_id, body, (SELECT COUNT(*) FROM outbound_entries e"
        " WHERE e.server_name = t.server_name AND e.destination = t.destination"
        " AND e.txn_id = t.txn_id),"
        " (SELECT slash FROM destinations d WHERE d.server_name = t.server_name"
        " AND d.destination = t.destination)"
        " FROM outbound_transactions t"
        " WHERE server_name = ? AND destination = ? AND delivered_ts IS NULL"
        " AND rejected_ts IS NULL AND dropped_ts IS NULL",
        queue.row,
    ).fetchone()
    if row is None:
        return None
    txn_id, body, entries, slash = row
    return PendingTransaction(queue, txn_id, bytes(body), entries, bool(slash))


def build_transaction(
    cursor: Cursor, queue: QueueId, now_ts: int, txn_id: str | None = None
) -> PendingTransaction | None:
    """Build the next transaction of the queued entries; None if there are none.

    Its ID is `txn_id`, or by default a new one.
    Only where no other one is pending. Raises `ProtocolError` for entries that are
    damaged in the store.
    """
    entries: list[_Entry] = []

    def sizes() -> Iterator[Size]:
        for entry in _first_entries(cursor, queue):
            entries.append(entry)
            yield Size(len(entry.pdus), len(entry.edus), entry.length)

    taken = entries[: batch_size(sizes())]
    if not taken:
        return None
    # The time keeps an ID new even after the store was deleted, when entries are
    # counted from 1 again: a receiver ignores the content of a known ID.
    txn_id = txn_id or f"{now_ts}-{taken[0].own_id}"
    body = encode_integers(
        build(
            queue.server_name,
            now_ts,
            [pdu for entry in taken for pdu in entry.pdus],
            [edu for entry in taken for edu in entry.edus],
        )
    )
    [slash] = cursor.execute(
        "INSERT INTO outbound_transactions"
        " (server_name, destination, txn_id, body, attempts)"
        " VALUES (?, ?, ?, ?, 0) RETURNING (SELECT slash FROM destinations d"
        " WHERE d.server_name = outbound_transactions.server_name"
        " AND d.destination = outbound_transactions.destination)",
        (*queue.row, txn_id, body),
    ).fetchone()
    # Exactly the entries in the body, and never a range of IDs. From now on their
    # content is in the body alone.
    cursor.execute(
        "UPDATE outbound_entries"  # noqa: S608 - question marks
        " SET txn_id = ?, pdus = '', edus = ''"
        f" WHERE server_name = ? AND destination = ? AND id IN ({_marks(taken)})",
        (txn_id, *queue.row, *(entry.own_id for entry in taken)),
    )
    return PendingTransaction(queue, txn_id, body, len(taken), bool(slash))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was queued with one call."""

    own_id: int
    pdus: Sequence[Encoded]
    edus: Sequence[Encoded]
    length: int
    """In bytes."""


def _first_entries(cursor: Cursor, queue: QueueId) -> Iterator[_Entry]:
    """As many entries as may fit into one transaction, at least one if there is any.

    They are read one by one: the first ones may already have the most PDUs or EDUs.
    """
    last_id = _last_that_fits(cursor, queue)
    if last_id is None:
        return
    found = cursor.execute(
        "SELECT id, pdus, edus FROM outbound_entries"
        " WHERE server_name = ? AND destination = ? AND txn_id IS NULL"
        " AND dropped_ts IS NULL AND id <= ? ORDER BY id",
        (*queue.row, last_id),
    )
    while row := found.fetchone():
        own_id, *texts = row
        pdus, edus = [text.encode("utf-8") for text in texts]
        yield _Entry(own_id, split(pdus), split(edus), len(pdus) + len(edus))


def _last_that_fits(cursor: Cursor, queue: QueueId) -> int | None:
    """The ID of the last entry that may be in the next transaction, by their lengths.

    The content of further entries is not read: each may fill a transaction.
    """
    firsts = (
        "SELECT id, length FROM outbound_entries"
        " WHERE server_name = ? AND destination = ? AND txn_id IS NULL"
        " AND dropped_ts IS NULL ORDER BY id LIMIT ?"
    )
    parameters = (*queue.row, MAX_PDUS + MAX_EDUS)
    # Usually all of them fit: then one row is fetched, not a hundred and fifty.
    last_id, length = cursor.execute(
        f"SELECT MAX(id), SUM(length) FROM ({firsts}) AS firsts",  # noqa: S608 - ours
        parameters,
    ).fetchone()
    if last_id is not None and length + ENVELOPE_BYTES > MAX_TRANSACTION_BYTES:
        rows = cursor.execute(firsts, parameters).fetchall()
        last_id, _ = rows[batch_size(Size(0, 0, length) for _, length in rows) - 1]
    return None if last_id is None else int(last_id)


def drop_stale(cursor: Cursor, queue: QueueId, now_ts: int) -> bool:
    """Drop stale ephemeral entries; whether that was all of them.

    Dropped entries are counted, and their state can still be asked for.
    """
    dropped = cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, edus = '' WHERE id IN ("
        " SELECT id FROM outbound_entries"
        " WHERE server_name = ? AND destination = ? AND txn_id IS NULL"
        " AND dropped_ts IS NULL AND ephemeral > 0 AND queued_ts <= ?"
        " ORDER BY queued_ts LIMIT ?) RETURNING id",
        (now_ts, *queue.row, now_ts - _STALE_MILLISECONDS, _MAX_DROPPED),
    ).fetchall()
    if dropped:
        cursor.execute(
            "UPDATE destinations SET queued = queued - ?, dropped = dropped + ?"
            " WHERE server_name = ? AND destination = ?",
            (len(dropped), len(dropped), *queue.row),
        )
    return len(dropped) < _MAX_DROPPED


def mark_delivered(
    cursor: Cursor,
    pending: PendingTransaction,
    now_ts: int,
    acknowledged: Acknowledged,
) -> None:
    """End a transaction that was acknowledged."""
    reply, connection, remarks = acknowledged
    cursor.execute(
        "UPDATE outbound_transactions SET attempts = attempts + ?, delivered_ts = ?,"
        " reply = ?, connection = ?, remarks = ?, body = ''"
        " WHERE server_name = ? AND destination = ? AND txn_id = ?",
        (
            pending.attempts,
            now_ts,
            *map(_as_text, (reply, connection)),
            msgspec.json.encode(remarks).decode("utf-8"),
            *_key(pending),
        ),
    )


def mark_rejected(
    cursor: Cursor,
    pending: PendingTransaction,
    now_ts: int,
    error: str,
    reply: Json | None,
) -> None:
    """End a transaction that its destination will never accept; its body is kept."""
    cursor.execute(
        "UPDATE outbound_transactions SET attempts = attempts + ?, rejected_ts = ?,"
        " last_error = ?, reply = ?"
        " WHERE server_name = ? AND destination = ? AND txn_id = ?",
        (pending.attempts, now_ts, error, _as_text(reply), *_key(pending)),
    )
    cursor.execute(
        "UPDATE destinations SET rejected = rejected + 1"
        " WHERE server_name = ? AND destination = ?",
        pending.queue.row,
    )


def mark_failed(cursor: Cursor, pending: PendingTransaction, error: str) -> None:
    """Record why an attempt failed; the transaction stays pending."""
    cursor.execute(
        "UPDATE outbound_transactions SET attempts = attempts + ?, last_error = ?"
        " WHERE server_name = ? AND destination = ? AND txn_id = ?",
        (pending.attempts, error, *_key(pending)),
    )


def _key(pending: PendingTransaction) -> tuple[str, str, str]:
    return *pending.queue.row, pending.txn_id


def _as_text(value: Json | Sequence[str] | None) -> str:
    return encode(value).decode("utf-8")


def _marks(values: Sequence[object]) -> str:
    """A placeholder for each value."""
    return ", ".join("?" * len(values))
