"""The sizes of stored transactions, as retention counts them.

Rules: these functions are parts of jobs. A size is that of the characters, and a
constant for each row. The sum of the counted transactions is in one row, which is
locked before it changes; a transaction that is deleted is subtracted if it was counted.
"""

from collections.abc import Sequence
from typing import Any

from homeserver.storage.engine.interface import Cursor

# Bytes of a row and of its entries in the indexes, beside its texts, as SQLite has it.
_TRANSACTION_BYTES = 190
_PDU_BYTES = 170
_SENT_BYTES = 290  # with its entry of the queue

_RECEIVED_LENGTH = (
    "SELECT COALESCE(SUM("  # noqa: S608 - ours
    f"{_TRANSACTION_BYTES} + LENGTH(edus) + LENGTH(problems) + LENGTH(remarks)"
    " + LENGTH(reply)"
    f" + (SELECT COALESCE(SUM({_PDU_BYTES} + LENGTH(event) + LENGTH(verdict)), 0)"
    " FROM received_pdus WHERE transaction_id = received_transactions.id)"
    "), 0) FROM received_transactions WHERE "
)
_SENT_LENGTH = (
    f"SELECT COALESCE(SUM({_SENT_BYTES} + LENGTH(body) + COALESCE(LENGTH(reply), 0)"  # noqa: S608 - ours
    " + COALESCE(LENGTH(connection), 0)), 0) FROM outbound_transactions WHERE "
)

# A sent transaction is counted once the time of its outcome is.
_IS_COUNTED = " OR ".join(
    f"{outcome} <= (SELECT {outcome} FROM retention)"  # noqa: S608 - ours
    for outcome in ("delivered_ts", "rejected_ts", "dropped_ts")
)

_KEY = "server_name = ? AND destination = ? AND txn_id = ?"


def lock_counts(cursor: Cursor) -> None:
    """Lock the row of the counts, so that no other process counts or removes."""
    cursor.execute("SELECT 1 FROM retention FOR UPDATE").fetchone()


def subtract(cursor: Cursor, length: int) -> None:
    """Subtract the size of counted transactions that were removed, in bytes."""
    cursor.execute("UPDATE retention SET length = length - ?", (length,))


def add_length(cursor: Cursor, length: int) -> None:
    """Count what is kept beside transactions, in bytes."""
    cursor.execute("UPDATE retention SET length = length + ?", (length,))


def received_length(cursor: Cursor, after_id: int, last_id: int) -> int:
    """The size of the received transactions above an ID, up to another one."""
    return _read(cursor, f"{_RECEIVED_LENGTH} id > ? AND id <= ?", (after_id, last_id))


def sent_length(cursor: Cursor, condition: str, parameters: Sequence[Any]) -> int:
    """The size of the outbound transactions that fulfil a condition."""
    return _read(cursor, f"{_SENT_LENGTH} {condition}", parameters)


def delete_sent(cursor: Cursor, key: tuple[str, str, str]) -> int:
    """Delete an outbound transaction with its entries; returns its size."""
    length = sent_length(cursor, _KEY, key)
    cursor.execute(f"DELETE FROM outbound_entries WHERE {_KEY}", key)  # noqa: S608 - ours
    cursor.execute(f"DELETE FROM outbound_transactions WHERE {_KEY}", key)  # noqa: S608 - ours
    return length


def forget_sent(cursor: Cursor, key: tuple[str, str, str]) -> int:
    """Delete an outbound transaction, counted or not; returns its entries' number."""
    lock_counts(cursor)
    subtract(cursor, sent_length(cursor, f"{_KEY} AND ({_IS_COUNTED})", key))
    [count] = cursor.execute(
        f"SELECT COUNT(*) FROM outbound_entries WHERE {_KEY}",  # noqa: S608 - ours
        key,
    ).fetchone()
    delete_sent(cursor, key)
    return int(count)


def forget_received(cursor: Cursor, ids: Sequence[int]) -> None:
    """Delete received transactions, counted or not, with their PDUs."""
    if not ids:
        return
    lock_counts(cursor)
    marks = ", ".join("?" * len(ids))
    counted = f"id IN ({marks}) AND id <= (SELECT received_id FROM retention)"  # noqa: S608 - question marks
    subtract(cursor, _read(cursor, f"{_RECEIVED_LENGTH} {counted}", ids))
    for table, column in (
        ("received_pdus", "transaction_id"),
        ("received_transactions", "id"),
    ):
        cursor.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", ids)  # noqa: S608 - ours


def _read(cursor: Cursor, query: str, parameters: Sequence[Any]) -> int:
    [length] = cursor.execute(query, parameters).fetchone()
    return int(length)
