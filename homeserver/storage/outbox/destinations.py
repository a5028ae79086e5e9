"""The row of a queue: its holder, when it is due, and how its destination fails.

Rules: each function is one statement about one queue; the caller decides when it
runs. A statement about a row that another process may have leased names the holder, and
returns None if the holder is another one.
"""

from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.queue_id import QueueId


def lease(cursor: Cursor, queue: QueueId, holder: str, until_ts: int) -> None:
    """Lease a queue to a holder; the row has to be locked by `FOR UPDATE`."""
    cursor.execute(
        "UPDATE destinations SET holder = ?, due_ts = ?, retry_immediately = 0,"
        " fresh = 0 WHERE server_name = ? AND destination = ?",
        (holder, until_ts, *queue.row),
    )


def renew(cursor: Cursor, queue: QueueId, holder: str, until_ts: int) -> bool:
    """Lease a queue for longer; False for one that `holder` leases no more."""
    renewed = cursor.execute(
        "UPDATE destinations SET due_ts = ? WHERE server_name = ?"
        " AND destination = ? AND holder = ? RETURNING 1",
        (until_ts, *queue.row, holder),
    ).fetchall()
    return bool(renewed)


def release(cursor: Cursor, queue: QueueId, due_ts: int | None) -> None:
    """End the lease of a queue, which is due at `due_ts`; None for idle.

    An idle queue has no next attempt, so it has no failures that delay one.
    """
    cursor.execute(
        "UPDATE destinations SET holder = NULL, due_ts = ?,"
        " failures = CASE WHEN ? THEN 0 ELSE failures END"
        " WHERE server_name = ? AND destination = ?",
        (due_ts, due_ts is None, *queue.row),
    )


def end_former(cursor: Cursor, holder: str, now_ts: int, *, is_alone: bool) -> None:
    """End the leases of an earlier process of the name `holder`, which are due now.

    With `is_alone`, there is no other process: every lease is of one that has ended.
    """
    if is_alone:
        cursor.execute("UPDATE destinations SET holder = NULL WHERE holder IS NOT NULL")
    cursor.execute(
        "UPDATE destinations SET holder = NULL, due_ts = ? WHERE holder = ?",
        (now_ts, holder),
    )


def count_damage(cursor: Cursor, queue: QueueId, error: str, due_ts: int) -> None:
    """Release a damaged queue, and count that as a failure."""
    cursor.execute(
        "UPDATE destinations SET failures = failures + 1, holder = NULL,"
        " last_error = ?, due_ts = ? WHERE server_name = ? AND destination = ?",
        (error, due_ts, *queue.row),
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
        " retry_immediately = 0, slash = ?,"
        " holder = CASE WHEN ? AND queued > ? THEN holder END,"
        " due_ts = CASE WHEN queued > ? THEN ? END"
        " WHERE server_name = ? AND destination = ? AND holder = ?"
        " RETURNING holder",
        (
            *(count, error, int(pending.slash), keeps, count, count, due_ts),
            *(*pending.queue.row, holder),
        ),
    ).fetchall()
    # Not `RETURNING holder IS NOT NULL`: SQLite 3.40 returns 1 for a null here.
    return found[0][0] is not None if found else None


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
        " not_before_ts = ? WHERE server_name = ? AND destination = ? AND holder = ?"
        " RETURNING failures, retry_immediately",
        (error, not_before_ts, *pending.queue.row, holder),
    ).fetchall()
    return (int(found[0][0]), bool(found[0][1])) if found else None
