"""The row of a destination: its holder, when it is due, and how it fails.

Rules: each function is one statement about one destination; the caller decides when it
runs. A statement about a row that another process may have leased names the holder, and
returns None if the holder is another one.
"""

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.batching import PendingTransaction


def lease(cursor: Cursor, destination: ServerName, holder: str, until_ts: int) -> None:
    """Lease a destination to a holder; the row has to be locked by `FOR UPDATE`."""
    cursor.execute(
        "UPDATE destinations SET holder = ?, due_ts = ?, at_once = 0, fresh = 0"
        " WHERE server_name = ?",
        (holder, until_ts, destination.name),
    )


def release(cursor: Cursor, destination: ServerName, due_ts: int | None) -> None:
    """End the lease of a destination, which is due at `due_ts`; None for idle."""
    cursor.execute(
        "UPDATE destinations SET holder = NULL, due_ts = ? WHERE server_name = ?",
        (due_ts, destination.name),
    )


def count_damage(
    cursor: Cursor, destination: ServerName, error: str, due_ts: int
) -> None:
    """Release a destination whose queue is damaged, and count that as a failure."""
    cursor.execute(
        "UPDATE destinations SET failures = failures + 1, holder = NULL,"
        " last_error = ?, due_ts = ? WHERE server_name = ?",
        (error, due_ts, destination.name),
    )


def count_answer(
    cursor: Cursor,
    pending: PendingTransaction,
    holder: str,
    error: str | None,
    due_ts: int,
    *,
    keeps: bool,
) -> bool | None:
    """Record that a destination has answered; None if the holder is another one.

    Remaining entries are due at `due_ts`, and stay leased if `keeps`; returns whether
    they do. The form of the path that was answered is kept for the next transaction.
    """
    count = pending.entries
    found = cursor.execute(
        "UPDATE destinations SET queued = queued - ?, failures = 0, last_error = ?,"
        " at_once = 0, slash = ?, holder = CASE WHEN ? AND queued > ? THEN holder END,"
        " due_ts = CASE WHEN queued > ? THEN ? END"
        " WHERE server_name = ? AND holder = ? RETURNING holder IS NOT NULL",
        (
            *(count, error, int(pending.slash), keeps, count, count, due_ts),
            *(pending.destination.name, holder),
        ),
    ).fetchall()
    return bool(found[0][0]) if found else None


def count_failure(
    cursor: Cursor,
    pending: PendingTransaction,
    holder: str,
    error: str,
    not_before_ts: int,
) -> tuple[int, bool] | None:
    """Record that an attempt failed; None if the holder is another one.

    Returns the failures in a row, and whether an operator wants an immediate retry.
    """
    found = cursor.execute(
        "UPDATE destinations SET failures = failures + 1, last_error = ?,"
        " earliest_ts = ? WHERE server_name = ? AND holder = ?"
        " RETURNING failures, at_once",
        (error, not_before_ts, pending.destination.name, holder),
    ).fetchall()
    return (int(found[0][0]), bool(found[0][1])) if found else None
