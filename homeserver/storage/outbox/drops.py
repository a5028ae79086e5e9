"""Drops by an operator: of entries in no transaction yet, or of a whole transaction.

Rules: an entry that is part of a transaction is dropped with it, because the
transaction keeps its bytes. The lease of a queue whose transaction is dropped ends, so
that the process that sends it records no outcome, and the queue is due immediately. A
dropped entry keeps its ID, and when and by which command it was dropped.
"""

from msgspec import Struct

from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.queue_id import QueueId

# The commands, as the store records them.
ONE = "peers --drop"
ALL = "peers --drop-all"

MAX_AT_ONCE = 5000  # entries in one commit, which other writers wait for


class AlreadyOver(Exception):
    """The entry is no longer queued; `str()` has its outcome."""


class Dropped(Struct, frozen=True):
    """What was dropped."""

    entries: int
    txn_id: str | None
    """The transaction that they were part of; its request may be running."""


def drop_entry(
    cursor: Cursor, queue: QueueId, entry_id: int, now_ts: int
) -> Dropped | None:
    """Drop an entry, and the transaction that it is part of; None if there is none.

    Raises `AlreadyOver`.
    """
    queue.lock(cursor)
    row = cursor.execute(
        "SELECT e.txn_id, e.dropped_ts, t.delivered_ts, t.rejected_ts"
        " FROM outbound_entries e LEFT JOIN outbound_transactions t"
        " ON t.server_name = e.server_name AND t.destination = e.destination"
        " AND t.txn_id = e.txn_id"
        " WHERE e.server_name = ? AND e.destination = ? AND e.id = ?",
        (*queue.row, entry_id),
    ).fetchone()
    if row is None:
        return None
    txn_id, *ends = row
    for end, what in zip(ends, ("dropped", "delivered", "rejected"), strict=True):
        if end is not None:
            raise AlreadyOver(f"entry {entry_id} for {queue.destination} was {what}")
    if txn_id is not None:
        return drop_transaction(cursor, queue, ONE, now_ts)
    cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?,"
        " pdus = '', edus = '' WHERE id = ?",
        (now_ts, ONE, entry_id),
    )
    _count(cursor, queue, 1)
    return Dropped(1, None)


def drop_transaction(
    cursor: Cursor, queue: QueueId, command: str, now_ts: int
) -> Dropped:
    """Drop the pending transaction of a queue, if there is one."""
    queue.lock(cursor)
    row = cursor.execute(
        "UPDATE outbound_transactions SET dropped_ts = ?, body = ''"
        " WHERE server_name = ? AND destination = ? AND delivered_ts IS NULL"
        " AND rejected_ts IS NULL AND dropped_ts IS NULL RETURNING txn_id",
        (now_ts, *queue.row),
    ).fetchone()
    if row is None:
        return Dropped(0, None)
    [txn_id] = row
    entries = cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?"
        " WHERE server_name = ? AND destination = ? AND txn_id = ? RETURNING id",
        (now_ts, command, *queue.row, txn_id),
    ).fetchall()
    cursor.execute(
        "UPDATE destinations SET holder = NULL, failures = 0, retry_immediately = 0,"
        " due_ts = ?"
        " WHERE server_name = ? AND destination = ?",
        (now_ts, *queue.row),
    )
    _count(cursor, queue, len(entries))
    return Dropped(len(entries), txn_id)


def last_entry(cursor: Cursor, queue: QueueId) -> int | None:
    """The ID of the entry of a queue that was queued last, of those that wait."""
    [last_id] = cursor.execute(
        "SELECT MAX(id) FROM outbound_entries WHERE server_name = ?"
        " AND destination = ? AND txn_id IS NULL AND dropped_ts IS NULL",
        queue.row,
    ).fetchone()
    return None if last_id is None else int(last_id)


def drop_waiting(cursor: Cursor, queue: QueueId, last_id: int, now_ts: int) -> int:
    """Drop entries that are in no transaction, up to an ID; returns their number.

    There may be more of them where it is `MAX_AT_ONCE`.
    """
    queue.lock(cursor)
    entries = cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?, pdus = '',"
        " edus = '' WHERE id IN (SELECT id FROM outbound_entries"
        " WHERE server_name = ? AND destination = ? AND txn_id IS NULL"
        " AND dropped_ts IS NULL AND id <= ? ORDER BY id LIMIT ?) RETURNING id",
        (now_ts, ALL, *queue.row, last_id, MAX_AT_ONCE),
    ).fetchall()
    _count(cursor, queue, len(entries))
    return len(entries)


def _count(cursor: Cursor, queue: QueueId, entries: int) -> None:
    """Count dropped entries; one without remaining ones is idle.

    An idle queue has no next attempt, so it has no failures that delay one.
    """
    cursor.execute(
        "UPDATE destinations SET queued = queued - ?, dropped = dropped + ?,"
        " due_ts = CASE WHEN queued > ? THEN due_ts END,"
        " failures = CASE WHEN queued > ? THEN failures ELSE 0 END"
        " WHERE server_name = ? AND destination = ?",
        (entries, entries, entries, entries, *queue.row),
    )
