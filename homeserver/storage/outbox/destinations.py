"""The row of a destination: who holds it, when it is due, and how it fails.

Rules of the room: statements, each about one destination; when to run which is of who
calls. Whoever changes a row that another process may hold names the holder, and is
told whether it was.
"""

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.batching import PendingTransaction


def lease(cursor: Cursor, destination: ServerName, holder: str, until_ts: int) -> None:
    """Give a destination to a holder; only where its row is held by `FOR UPDATE`."""
    cursor.execute(
        "UPDATE destinations SET holder = ?, due_ts = ?, at_once = 0, fresh = 0"
        " WHERE server_name = ?",
        (holder, until_ts, destination.name),
    )


def release(cursor: Cursor, destination: ServerName, due_ts: int | None) -> None:
    """Let whoever comes serve a destination from then on, if it is owed something."""
    cursor.execute(
        "UPDATE destinations SET holder = NULL, due_ts = ? WHERE server_name = ?",
        (due_ts, destination.name),
    )


def count_damage(
    cursor: Cursor, destination: ServerName, error: str, due_ts: int
) -> None:
    """As `release`, of one whose queue cannot be read."""
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
    """Something has come of a transaction; None if the holder is another one.

    What is left is due at `due_ts`, and stays the holder's if it `keeps` it; whether
    it does. The form of the path that was answered is remembered.
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
    """An attempt to deliver it was in vain; None if the holder is another one.

    How many were in a row, and whether the next one is wanted at once.
    """
    found = cursor.execute(
        "UPDATE destinations SET failures = failures + 1, last_error = ?,"
        " earliest_ts = ? WHERE server_name = ? AND holder = ?"
        " RETURNING failures, at_once",
        (error, not_before_ts, pending.destination.name, holder),
    ).fetchall()
    return (int(found[0][0]), bool(found[0][1])) if found else None
