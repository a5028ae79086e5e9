"""Leases of queues: which process sends each, until when, and the outcome.

| state | `due_ts` of its row | `holder` | what ends it |
|---|---|---|---|
| idle | none | none | an entry is queued |
| due | a time up to now | any | a process leases it |
| backing off | a later time | none | the time passes, or a retry |
| leased | the lease's end | a process | an outcome, a release, a drop, or the time |

The commit that records an outcome also ends or renews the lease. After a delivery or a
rejection it builds the next transaction, unless another queue is due and waits for a
slot. After a failure the queue backs off. A lease that ends without an outcome belongs
to a process that died or lost the store: the queue is due, and the next process sends
the same bytes.

Rules: only the holder builds a transaction or records an outcome, in a commit that
checks or sets the lease; one that an operator chooses is built for an empty queue,
which has no holder. One process has one `DestinationLeases` for all of its names.
Times are those of the store: processes that share it need not agree on the time.
"""

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database, StoreClock
from homeserver.storage.outbox.batching import (
    Acknowledged,
    PendingTransaction,
    build_transaction,
    drop_stale,
    mark_delivered,
    mark_failed,
    mark_rejected,
    pending_transaction,
)
from homeserver.storage.outbox.destinations import (
    count_answer,
    count_damage,
    count_failure,
    end_former,
    lease,
    release,
    renew,
)
from homeserver.storage.outbox.due import (
    Quota,
    ServedNames,
    find_due,
    is_another_due,
    lock,
    next_due,
)
from homeserver.storage.outbox.queue_id import QueueId

LEASE_SECONDS = 20.0  # the longest wait for a queue whose holder has died
_LEASE_MILLISECONDS = int(LEASE_SECONDS * 1000)

RENEWAL_SECONDS = 5.0  # a holder may miss two renewals

_LOOK_SECONDS = 1.0  # other processes that share the store announce nothing

_DAMAGED_MILLISECONDS = 3_600_000  # until it is read again: it may be repaired


class Leased(Struct, frozen=True):
    """The transactions for a holder to send now."""

    transactions: Sequence[PendingTransaction]
    failing: frozenset[QueueId]
    """The queues among them whose last attempt failed."""

    wait: float | None
    """In seconds, until more may be due; None where nothing is pending."""


class DestinationLeases:
    """The leases of one process, which may share the store with others."""

    def __init__(  # noqa: PLR0913 - who leases, and beside whom
        self,
        database: Database,
        serves: Callable[[ServerName], bool],
        clock: StoreClock,
        holder: str,
        longest_wait: float,
        *,
        is_shared: bool,
        joins: bool | None = None,
    ) -> None:
        """`serves` says whether this process serves a name; the answer may change.

        `holder` is a name of this process that no other process has. It may have been
        that of a process that this one replaces.
        `longest_wait` is the longest back-off, in seconds. Of a store that `is_shared`,
        `joins` is whether other processes may have used it before this one.
        """
        self._database = database
        self._serves = serves
        self._served = ServedNames(serves)
        self._clock = clock
        self._holder = holder
        self._longest_wait = longest_wait
        self._is_shared = is_shared
        self._joins = is_shared if joins is None else joins
        self._calls = 0

    async def pending(self) -> list[QueueId]:
        """The queues with pending entries, of the names that this process serves."""

        def job(cursor: Cursor) -> list[QueueId]:
            rows = cursor.execute(
                "SELECT server_name, destination FROM destinations"
                " WHERE due_ts IS NOT NULL"
            ).fetchall()
            queues = (QueueId.of_row(*row) for row in rows)
            return [queue for queue in queues if self._serves(queue.server_name)]

        return await self._database.read(job)

    async def begin(self, queues: Sequence[QueueId], a_second: float) -> None:
        """Make queues due one after the other, `a_second` of them each second.

        Without other processes, every lease is of a process that has ended. So is one
        of an earlier process of the same name.
        """

        def job(cursor: Cursor) -> None:
            now_ts = self._clock(cursor)
            end_former(cursor, self._holder, now_ts, is_alone=not self._joins)
            for index, queue in enumerate(queues):
                cursor.execute(
                    "UPDATE destinations SET due_ts = ?"
                    " WHERE server_name = ? AND destination = ?"
                    " AND due_ts IS NOT NULL AND holder IS NULL",
                    (now_ts + int(index * 1000 / a_second), *queue.row),
                )

        await self._database.write(job)

    async def lease(self, quota: Quota, serving: Collection[QueueId]) -> Leased:
        """Lease due queues but those in `serving`, in the order of `find_due`."""
        busy = frozenset(serving)
        number = self._calls
        self._calls += 1

        def job(cursor: Cursor) -> Leased:
            now_ts = self._clock(cursor)
            due = find_due(cursor, now_ts, quota, busy, number, self._served)
            if self._is_shared:
                due = lock(cursor, due, now_ts)
            found = [self._lease_one(cursor, queue, now_ts) for queue in due.queues]
            next_ts = next_due(cursor, now_ts, self._longest_wait, LEASE_SECONDS)
            wait = None if next_ts is None else (next_ts - now_ts) / 1000
            if self._is_shared:
                wait = _LOOK_SECONDS if wait is None else min(wait, _LOOK_SECONDS)
            if not due.is_all:
                wait = 0.0
            return Leased([each for each in found if each], due.failing, wait)

        return await self._database.write(job)

    def _lease_one(
        self, cursor: Cursor, queue: QueueId, now_ts: int
    ) -> PendingTransaction | None:
        """Lease a queue; its pending transaction, which is built if needed."""
        pending = pending_transaction(cursor, queue)
        if pending is None:
            pending = self._build_next(cursor, queue, now_ts)
        if pending is not None:
            lease(cursor, queue, self._holder, now_ts + _LEASE_MILLISECONDS)
        return pending

    def _build_next(
        self, cursor: Cursor, queue: QueueId, now_ts: int
    ) -> PendingTransaction | None:
        """Build the next transaction; release the queue if there is none."""
        if not drop_stale(cursor, queue, now_ts):
            # More is stale: the rest is dropped after all queues due now.
            release(cursor, queue, now_ts + 1)
            return None
        try:
            pending = build_transaction(cursor, queue, now_ts)
        except ProtocolError as problem:
            why = f"what is queued cannot be read: {problem}"
            count_damage(cursor, queue, why, now_ts + _DAMAGED_MILLISECONDS)
            return None
        if pending is None:
            release(cursor, queue, None)
        return pending

    async def renew(self, queues: Collection[QueueId]) -> list[QueueId]:
        """Renew the leases of queues whose requests are still running.

        Returns those whose lease this process has lost: another process has leased
        them, or their transaction was dropped, or the lease has just ended.
        """
        # A copy: while the job runs in its thread, leases end and others begin.
        known = list(queues)

        def job(cursor: Cursor) -> list[QueueId]:
            due_ts = self._clock(cursor) + _LEASE_MILLISECONDS
            return [
                queue
                for queue in known
                if not renew(cursor, queue, self._holder, due_ts)
            ]

        return await self._database.write(job)

    async def release(self, pending: PendingTransaction) -> None:
        """Release a queue that was not tried, so that it is due now."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET holder = NULL, due_ts = ?"
                " WHERE server_name = ? AND destination = ? AND holder = ?",
                (self._clock(cursor), *pending.queue.row, self._holder),
            )

        await self._database.write(job)

    async def record_delivery(
        self, pending: PendingTransaction, acknowledged: Acknowledged
    ) -> PendingTransaction | None:
        """Record that the destination has acknowledged a transaction.

        Returns the next one, unless another queue waits for a slot.
        """

        def mark(cursor: Cursor, now_ts: int) -> None:
            mark_delivered(cursor, pending, now_ts, acknowledged)

        return await self._record_answer(pending, None, mark)

    async def record_rejection(
        self, pending: PendingTransaction, error: str, reply: Json | None
    ) -> PendingTransaction | None:
        """Record a rejection; returns the next transaction, as `record_delivery`."""

        def mark(cursor: Cursor, now_ts: int) -> None:
            mark_rejected(cursor, pending, now_ts, error, reply)

        return await self._record_answer(pending, error, mark)

    async def record_failure(
        self,
        pending: PendingTransaction,
        error: str,
        pause: Callable[[int], float],
        shortest_pause: float,
    ) -> float | None:
        """Record an attempt that failed; in how many seconds the next one is due.

        `pause` returns the back-off after a number of failures in a row;
        `shortest_pause` remains of it when the destination is alive. None if the lease
        was lost: then another process sends the same bytes, and records its outcome.
        """

        def job(cursor: Cursor) -> float | None:
            now_ts = self._clock(cursor)
            not_before_ts = now_ts + int(shortest_pause * 1000)
            counted = count_failure(cursor, pending, self._holder, error, not_before_ts)
            if counted is None:
                return None
            failures, is_immediate = counted
            mark_failed(cursor, pending, error)
            seconds = 0.0 if is_immediate else pause(failures)
            release(cursor, pending.queue, now_ts + int(seconds * 1000))
            return seconds

        return await self._database.write(job)

    async def _record_answer(
        self,
        pending: PendingTransaction,
        error: str | None,
        mark: Callable[[Cursor, int], None],
    ) -> PendingTransaction | None:
        """Record the answer of a destination, if this process still leases its queue.

        In the same commit, build the next transaction, or make the queue due now.
        """

        def job(cursor: Cursor) -> PendingTransaction | None:
            now_ts = self._clock(cursor)
            keeps = not is_another_due(cursor, now_ts, self._served)
            due_ts = now_ts + (_LEASE_MILLISECONDS if keeps else 0)
            is_kept = count_answer(
                cursor, pending, self._holder, error, due_ts, keeps=keeps
            )
            if is_kept is None:
                return None  # another process will record its outcome
            mark(cursor, now_ts)
            return self._build_next(cursor, pending.queue, now_ts) if is_kept else None

        return await self._database.write(job)
