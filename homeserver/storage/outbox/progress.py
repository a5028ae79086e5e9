"""The state of the queues: of one entry, of one queue, of all of them.

Rules: nothing is changed here. The totals are of all names in the store.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from homeserver.protocol.canonical_json import Encoded
from homeserver.protocol.remarks import Remark, read_remarks
from homeserver.storage.engine.interface import Cursor, Database, StoreClock
from homeserver.storage.outbox.queue_id import QueueId

State = Literal["queued", "sending", "delivered", "rejected", "dropped"]
"""How far an entry is; the last three are final."""


class EntryState(Struct, frozen=True):
    """The state of one entry."""

    id: int
    state: State
    txn_id: str | None
    """Of the transaction that it became; None before that."""

    attempts: int
    next_attempt_ts: int | None
    """In milliseconds since 1970; None unless its destination is in back-off."""

    error: str | None
    """Why the last attempt failed; None if it was delivered."""

    reply: Encoded | None
    """The JSON that the destination replied."""

    remarks: list[Remark]
    """What is wrong with the reply."""

    connection: Encoded | None
    """The JSON that describes the connection of the delivery."""

    dropped_ts: int | None
    dropped_by: str | None
    """A command, or `age` for a stale entry; None if it was not dropped."""


class QueueSummary(Struct, frozen=True):
    """The queue of a destination, and how it fails."""

    queued: int = 0
    """Entries without an outcome."""

    oldest_id: int | None = None
    """The ID of the oldest of them."""

    failures: int = 0
    """Failed attempts in a row."""

    next_attempt_ts: int | None = None
    """In milliseconds since 1970; None unless the destination is in back-off."""

    last_error: str | None = None
    rejected: int = 0
    """Transactions that are never sent again."""

    dropped: int = 0
    """Entries that were stale, or dropped by an operator."""


class PendingTotals(Struct, frozen=True):
    """The pending entries of all queues together."""

    entries: float
    oldest_seconds: float
    """The time since the oldest of them was queued; 0 where there is none."""

    waiting: float
    """Destinations with pending entries, whose last attempt did not fail."""

    backing_off: float
    """Those whose last attempt failed."""


def load_state(cursor: Cursor, queue: QueueId, entry_id: int) -> EntryState | None:
    """The state of an entry; None if there is none of that ID."""
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
        " ON t.server_name = e.server_name AND t.destination = e.destination"
        " AND t.txn_id = e.txn_id"
        " LEFT JOIN destinations d"
        " ON d.server_name = e.server_name AND d.destination = e.destination"
        " WHERE e.server_name = ? AND e.destination = ? AND e.id = ?",
        (*queue.row, entry_id),
    ).fetchone()
    return None if row is None else _describe(entry_id, row)


# Of a queue: of those in a transaction, and of the others, which are younger.
_OLDEST_ID = (
    "(SELECT MIN(e.id) FROM outbound_transactions t JOIN outbound_entries e"
    " ON e.server_name = t.server_name AND e.destination = t.destination"
    " AND e.txn_id = t.txn_id"
    " WHERE t.server_name = d.server_name AND t.destination = d.destination"
    " AND t.delivered_ts IS NULL AND t.rejected_ts IS NULL AND t.dropped_ts IS NULL),"
    " (SELECT MIN(e.id) FROM outbound_entries e"
    " WHERE e.server_name = d.server_name AND e.destination = d.destination"
    " AND e.txn_id IS NULL AND e.dropped_ts IS NULL)"
)


SUMMARY_COLUMNS = (
    "d.queued, d.failures,"
    " CASE WHEN d.failures > 0 AND d.holder IS NULL THEN d.due_ts END,"
    f" d.last_error, d.rejected, d.dropped, {_OLDEST_ID}"
)
"""What `read_summary` reads, of `destinations d`."""


def read_summary(row: Sequence[Any]) -> QueueSummary:
    """A queue, of the columns in `SUMMARY_COLUMNS`."""
    queued, failures, next_attempt_ts, last_error, rejected, dropped, *ids = row
    return QueueSummary(
        queued=queued,
        oldest_id=next((each for each in ids if each is not None), None),
        failures=failures,
        next_attempt_ts=next_attempt_ts,
        last_error=last_error,
        rejected=rejected,
        dropped=dropped,
    )


class TotalsStore:
    """Reads the totals."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def load(self) -> PendingTotals:
        """The pending entries of all queues together."""
        return await self._database.read(
            lambda cursor: _load_totals(cursor, self._clock(cursor))
        )


def _load_totals(cursor: Cursor, now_ts: int) -> PendingTotals:
    entries, waiting, backing_off = cursor.execute(
        "SELECT COALESCE(SUM(queued), 0),"
        " COALESCE(SUM(CASE WHEN failures = 0 THEN 1 ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN failures > 0 THEN 1 ELSE 0 END), 0)"
        " FROM destinations WHERE queued > 0"
    ).fetchone()
    # Of each queue the first of those in a transaction, and of the others: there
    # may be a million. Entries of an older store have no time.
    [oldest_ts] = cursor.execute(
        "SELECT MIN(first_ts) FROM ("
        "SELECT (SELECT e.queued_ts FROM outbound_entries e"
        " WHERE e.server_name = d.server_name AND e.destination = d.destination"
        " AND e.txn_id IS NULL AND e.dropped_ts IS NULL"
        " ORDER BY e.id LIMIT 1) AS first_ts"
        " FROM destinations d WHERE d.queued > 0"
        " UNION ALL "
        "SELECT (SELECT MIN(e.queued_ts) FROM outbound_entries e"
        " WHERE e.server_name = t.server_name AND e.destination = t.destination"
        " AND e.txn_id = t.txn_id)"
        " FROM outbound_transactions t"
        " WHERE t.delivered_ts IS NULL AND t.rejected_ts IS NULL"
        " AND t.dropped_ts IS NULL"
        ") AS firsts WHERE first_ts > 0"
    ).fetchone()
    seconds = 0.0
    if oldest_ts is not None:
        seconds = max(0, now_ts - oldest_ts) / 1000
    return PendingTotals(int(entries), seconds, int(waiting), int(backing_off))


def _describe(entry_id: int, row: Sequence[Any]) -> EntryState:
    state, txn_id, attempts, last_error, reply, remarks, connection, *times = row
    next_ts, dropped_ts, dropped_by = times
    return EntryState(
        id=entry_id,
        state=state,
        txn_id=txn_id,
        attempts=attempts or 0,
        next_attempt_ts=next_ts if state == "queued" else None,
        error=None if state == "delivered" else last_error,
        reply=None if reply is None else Encoded(reply),
        remarks=[] if remarks is None else read_remarks(remarks),
        connection=None if connection is None else Encoded(connection),
        dropped_ts=dropped_ts,
        dropped_by=None if dropped_ts is None else dropped_by,
    )
