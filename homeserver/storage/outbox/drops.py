"""Drops by an operator: of entries in no transaction yet, or of a whole transaction.

Rules: an entry that is part of a transaction is dropped with it, because the
transaction keeps its bytes. The lease of a destination whose transaction is dropped
ends, so that the process that sends it records no outcome, and it is due immediately.
A dropped entry keeps its ID, and when and by which command it was dropped.
"""

from msgspec import Struct

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor

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
    cursor: Cursor, destination: ServerName, entry_id: int, now_ts: int
) -> Dropped | None:
    """Drop an entry, and the transaction that it is part of; None if there is none.

    Raises `AlreadyOver`.
    """
    _lock(cursor, destination)
    row = cursor.execute(
        "SELECT e.txn_id, e.dropped_ts, t.delivered_ts, t.rejected_ts"
        " FROM outbound_entries e LEFT JOIN outbound_transactions t"
        " ON t.destination = e.destination AND t.txn_id = e.txn_id"
        " WHERE e.destination = ? AND e.id = ?",
        (destination.name, entry_id),
    ).fetchone()
    if row is None:
        return None
    txn_id, *ends = row
    for end, what in zip(ends, ("dropped", "delivered", "rejected"), strict=True):
        if end is not None:
            raise AlreadyOver(f"entry {entry_id} for {destination} was {what}")
    if txn_id is not None:
        return drop_transaction(cursor, destination, ONE, now_ts)
    cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?,"
        " pdus = '', edus = '' WHERE id = ?",
        (now_ts, ONE, entry_id),
    )
    _count(cursor, destination, 1)
    return Dropped(1, None)


def drop_transaction(
    cursor: Cursor, destination: ServerName, command: str, now_ts: int
) -> Dropped:
    """Drop the pending transaction of a destination, if there is one."""
    _lock(cursor, destination)
    row = cursor.execute(
        "UPDATE outbound_transactions SET dropped_ts = ?, body = ''"
        " WHERE destination = ? AND delivered_ts IS NULL AND rejected_ts IS NULL"
        " AND dropped_ts IS NULL RETURNING txn_id",
        (now_ts, destination.name),
    ).fetchone()
    if row is None:
        return Dropped(0, None)
    [txn_id] = row
    entries = cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?"
        " WHERE destination = ? AND txn_id = ? RETURNING id",
        (now_ts, command, destination.name, txn_id),
    ).fetchall()
    cursor.execute(
        "UPDATE destinations SET holder = NULL, failures = 0, at_once = 0, due_ts = ?"
        " WHERE server_name = ?",
        (now_ts, destination.name),
    )
    _count(cursor, destination, len(entries))
    return Dropped(len(entries), txn_id)


def last_entry(cursor: Cursor, destination: ServerName) -> int | None:
    """The ID of the entry of a destination that was queued last."""
    [last_id] = cursor.execute(
        "SELECT MAX(id) FROM outbound_entries WHERE destination = ?"
        " AND txn_id IS NULL AND dropped_ts IS NULL",
        (destination.name,),
    ).fetchone()
    return None if last_id is None else int(last_id)


def drop_waiting(
    cursor: Cursor, destination: ServerName, last_id: int, now_ts: int
) -> int:
    """Drop entries that are in no transaction, up to an ID; returns their number.

    There may be more of them where it is `MAX_AT_ONCE`.
    """
    _lock(cursor, destination)
    entries = cursor.execute(
        "UPDATE outbound_entries SET dropped_ts = ?, dropped_by = ?, pdus = '',"
        " edus = '' WHERE id IN (SELECT id FROM outbound_entries"
        " WHERE destination = ? AND txn_id IS NULL AND dropped_ts IS NULL"
        " AND id <= ? ORDER BY id LIMIT ?) RETURNING id",
        (now_ts, ALL, destination.name, last_id, MAX_AT_ONCE),
    ).fetchall()
    _count(cursor, destination, len(entries))
    return len(entries)


def _lock(cursor: Cursor, destination: ServerName) -> None:
    """Lock the row of a destination, which building and outcomes change too."""
    cursor.execute(
        "SELECT 1 FROM destinations WHERE server_name = ? FOR UPDATE",
        (destination.name,),
    ).fetchall()


def _count(cursor: Cursor, destination: ServerName, entries: int) -> None:
    """Count dropped entries; a destination without remaining ones is idle."""
    cursor.execute(
        "UPDATE destinations SET queued = queued - ?, dropped = dropped + ?,"
        " due_ts = CASE WHEN queued > ? THEN due_ts END WHERE server_name = ?",
        (entries, entries, entries, destination.name),
    )
