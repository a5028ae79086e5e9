"""The state of the queue: of one entry, of one destination, of all of them.

Rules: nothing is changed here.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from homeserver.protocol.canonical_json import Json, parse
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor


class PendingTotals(Struct, frozen=True):
    """The pending entries of all destinations together."""

    entries: float
    oldest_seconds: float
    """The time since the oldest of them was queued; 0 where there is none."""

    waiting: float
    """Destinations with pending entries, whose last attempt did not fail."""

    backing_off: float
    """Those whose last attempt failed."""


def load_state(cursor: Cursor, destination: ServerName, entry_id: int) -> Json | None:
    """The state of an entry; None if there is none of that ID.

    `{"id", "state": "queued", "sending", "delivered", "rejected" or "dropped",
    "txn_id", "attempts", "next_attempt_ts", "error", "reply", "connection",
    "remarks": sentences about what is wrong with the reply, "dropped_ts",
    "dropped_by": a command, or `age` for a stale entry}`.
    """
    row = cursor.execute(
        "SELECT CASE WHEN e.dropped_ts IS NOT NULL THEN 'dropped'"
        " WHEN t.delivered_ts IS NOT NULL THEN 'delivered'"
        " WHEN t.rejected_ts IS NOT NULL THEN 'rejected'"
        " WHEN e.txn_id IS NOT NULL AND d.holder IS NOT NULL THEN 'sending'"
        " ELSE 'queued' END,"
        " e.txn_id, t.attempts, t.last_error, t.reply, t.remarks, t.connection,"
        " CASE WHEN d.failures > 0 THEN d.due_ts END,"
        " e.dropped_ts, COALESCE(e.dropped_by, 'age')"
        " FROM outbound_entries e"
        " LEFT JOIN outbound_transactions t"
        " ON t.destination = e.destination AND t.txn_id = e.txn_id"
        " LEFT JOIN destinations d ON d.server_name = e.destination"
        " WHERE e.destination = ? AND e.id = ?",
        (destination.name, entry_id),
    ).fetchone()
    return None if row is None else {"id": entry_id, **_describe(row)}


# Of a destination: of those in a transaction, and of the others, which are younger.
_OLDEST_ID = (
    "(SELECT MIN(e.id) FROM outbound_transactions t JOIN outbound_entries e"
    " ON e.destination = t.destination AND e.txn_id = t.txn_id"
    " WHERE t.destination = server_name AND t.delivered_ts IS NULL"
    " AND t.rejected_ts IS NULL AND t.dropped_ts IS NULL),"
    " (SELECT MIN(e.id) FROM outbound_entries e WHERE e.destination = server_name"
    " AND e.txn_id IS NULL AND e.dropped_ts IS NULL)"
)


def load_summary(cursor: Cursor, destination: ServerName) -> Json | None:
    """The queue of a destination, and how it fails; None if it is and was empty.

    `{"queued": entries without an outcome, "oldest_id": of those, "failures": in a row,
    "next_attempt_ts", "last_error", "rejected": transactions, "dropped": entries that
    were stale, or dropped by an operator}`.
    """
    row = cursor.execute(
        "SELECT queued, failures,"  # noqa: S608 - ours
        " CASE WHEN failures > 0 AND holder IS NULL THEN due_ts END,"
        f" last_error, rejected, dropped, {_OLDEST_ID}"
        " FROM destinations WHERE server_name = ?"
        " AND (queued > 0 OR rejected > 0 OR dropped > 0)",
        (destination.name,),
    ).fetchone()
    if row is None:
        return None
    queued, failures, next_attempt_ts, last_error, rejected, dropped, *ids = row
    return {
        "queued": queued,
        "oldest_id": next((each for each in ids if each is not None), None),
        "failures": failures,
        "next_attempt_ts": next_attempt_ts,
        "last_error": last_error,
        "rejected": rejected,
        "dropped": dropped,
    }


def load_totals(cursor: Cursor, now_ts: int) -> PendingTotals:
    """The pending entries of all destinations together."""
    entries, waiting, backing_off = cursor.execute(
        "SELECT COALESCE(SUM(queued), 0),"
        " COALESCE(SUM(CASE WHEN failures = 0 THEN 1 ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN failures > 0 THEN 1 ELSE 0 END), 0)"
        " FROM destinations WHERE queued > 0"
    ).fetchone()
    # Of each destination the first of those in a transaction, and of the others: there
    # may be a million. Entries of an older store have no time.
    [oldest_ts] = cursor.execute(
        "SELECT MIN(first_ts) FROM ("
        "SELECT (SELECT e.queued_ts FROM outbound_entries e"
        " WHERE e.destination = d.server_name"
        " AND e.txn_id IS NULL AND e.dropped_ts IS NULL"
        " ORDER BY e.id LIMIT 1) AS first_ts"
        " FROM destinations d WHERE d.queued > 0"
        " UNION ALL "
        "SELECT (SELECT MIN(e.queued_ts) FROM outbound_entries e"
        " WHERE e.destination = t.destination AND e.txn_id = t.txn_id)"
        " FROM outbound_transactions t"
        " WHERE t.delivered_ts IS NULL AND t.rejected_ts IS NULL"
        " AND t.dropped_ts IS NULL"
        ") AS firsts WHERE first_ts > 0"
    ).fetchone()
    seconds = 0.0
    if oldest_ts is not None:
        seconds = max(0, now_ts - oldest_ts) / 1000
    return PendingTotals(int(entries), seconds, int(waiting), int(backing_off))


def _describe(row: Sequence[Any]) -> Json:
    state, txn_id, attempts, last_error, reply, remarks, connection, *times = row
    next_ts, dropped_ts, dropped_by = times
    return {
        "state": state,
        "txn_id": txn_id,
        "attempts": attempts or 0,
        "next_attempt_ts": next_ts if state == "queued" else None,
        "error": None if state == "delivered" else last_error,
        "reply": _json(reply),
        "remarks": _json(remarks) or [],
        "connection": _json(connection),
        "dropped_ts": dropped_ts,
        "dropped_by": None if dropped_ts is None else dropped_by,
    }


def _json(text: str | None) -> object:
    return None if text is None else parse(text.encode("utf-8"))
