"""Removing what has exceeded its retention: received transactions, and sent ones.

Rules: a queued entry is never removed. Each step is one short write. A received
transaction loses its content first, and later its row with the reply, as its sender may
repeat it. Received transactions are removed in the order of their IDs, so that one ID
separates those without content from the others.

Ages are counted by a time of their own (`lag`): it is never after the clock's, and goes
at most at double the speed of a clock that cannot be set. So a clock that is set far
forward removes nothing at once; after a long stop, what is old is removed later.

The size of a transaction is counted here, once, and not where it is recorded: its
characters, and a constant for each row. Only counted transactions are removed, and
their size is subtracted.
"""

from collections.abc import Callable
from typing import Literal, get_args

from msgspec import Struct

from homeserver.storage.engine.interface import Cursor, Database, StoreClock
from homeserver.storage.transaction_sizes import (
    delete_sent,
    lock_counts,
    received_length,
    sent_length,
    subtract,
)

# Transactions, or servers, in one step. With fifty PDUs in each transaction, the rows
# are deleted in some ten milliseconds.
STEP = 50

_COUNT_STEP = 500  # transactions that are counted in one step, in about the same time

# How fast the time of ages follows a clock that is ahead of it. An operator has as many
# days to notice a wrong clock as it is wrong, before half of it has taken effect.
_PACE = 2.0

# An outcome is committed within seconds of its time: later, none of that time follow.
_SETTLED_SECONDS = 60.0

Outcome = Literal["delivered_ts", "rejected_ts", "dropped_ts"]
"""The column with the time of a sent transaction's outcome."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Removed(Struct, frozen=True):
    """What a step has removed: nothing, if nothing was left to remove."""

    count: int
    length: int
    """In bytes, about."""


_NOTHING = Removed(0, 0)


class RetentionStore:
    """The steps of counting and of pruning."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    async def length(self) -> int:
        """The approximate bytes of the counted transactions that are kept."""

        def job(cursor: Cursor) -> int:
            return int(cursor.execute("SELECT length FROM retention").fetchone()[0])

        return await self._database.read(job)

    async def lag(self, seconds: float) -> float:
        """By how many seconds the time of ages is behind the clock.

        `seconds` have passed since the last call, or since this process began, by a
        clock that cannot be set. At the first time of a store, the clock is believed.
        """

        def job(cursor: Cursor) -> float:
            lock_counts(cursor)
            [aged_ts] = cursor.execute("SELECT aged_ts FROM retention").fetchone()
            now_ts = self._clock(cursor)
            next_ts = aged_ts + int(_PACE * seconds * 1000)
            next_ts = min(now_ts, next_ts) if aged_ts else now_ts
            cursor.execute("UPDATE retention SET aged_ts = ?", (next_ts,))
            return (now_ts - next_ts) / 1000

        return await self._database.write(job)

    async def count_received(self) -> bool:
        """Count some of the received transactions; whether any were uncounted."""

        def job(cursor: Cursor) -> bool:
            lock_counts(cursor)
            [counted_id] = cursor.execute(
                "SELECT received_id FROM retention"
            ).fetchone()
            ids = cursor.execute(
                "SELECT id FROM received_transactions WHERE id > ? ORDER BY id LIMIT ?",
                (counted_id, _COUNT_STEP),
            ).fetchall()
            if ids:
                [last_id] = ids[-1]
                cursor.execute(
                    "UPDATE retention SET received_id = ?, length = length + ?",
                    (last_id, received_length(cursor, counted_id, last_id)),
                )
            return bool(ids)

        return await self._database.write(job)

    async def count_sent(self, outcome: Outcome) -> bool:
        """Count some of the sent transactions; whether any were uncounted."""

        def job(cursor: Cursor) -> bool:
            lock_counts(cursor)
            [counted_ts] = cursor.execute(f"SELECT {outcome} FROM retention").fetchone()  # noqa: S608 - ours
            times = cursor.execute(
                f"SELECT {outcome} FROM outbound_transactions"  # noqa: S608 - ours
                f" WHERE {outcome} > ? AND {outcome} <= ? ORDER BY {outcome} LIMIT ?",
                (counted_ts, self._before(cursor, _SETTLED_SECONDS), _COUNT_STEP),
            ).fetchall()
            if times:
                [last_ts] = times[-1]
                length = sent_length(
                    cursor, f"{outcome} > ? AND {outcome} <= ?", (counted_ts, last_ts)
                )
                cursor.execute(
                    f"UPDATE retention SET {outcome} = ?, length = length + ?",  # noqa: S608 - ours
                    (last_ts, length),
                )
            return bool(times)

        return await self._database.write(job)

    async def prune_sent(self, outcome: Outcome, seconds: float) -> Removed:
        """Remove transactions that have had an outcome for at least so long."""

        def job(cursor: Cursor) -> Removed:
            lock_counts(cursor)
            done = cursor.execute(
                "SELECT server_name, destination, txn_id"  # noqa: S608 - ours
                f" FROM outbound_transactions WHERE {outcome} <= ?"
                f" AND {outcome} <= (SELECT {outcome} FROM retention)"
                f" ORDER BY {outcome} LIMIT ?",
                (self._before(cursor, seconds), STEP),
            ).fetchall()
            length = sum(delete_sent(cursor, key) for key in done)
            return _subtract(cursor, Removed(len(done), length))

        return await self._database.write(job)

    async def prune_dropped_entries(self, seconds: float) -> Removed:
        """Remove entries that were dropped at least so long ago, in no transaction."""

        def job(cursor: Cursor) -> Removed:
            dropped = cursor.execute(
                "DELETE FROM outbound_entries WHERE id IN (SELECT id"
                " FROM outbound_entries WHERE dropped_ts <= ? AND txn_id IS NULL"
                " ORDER BY dropped_ts LIMIT ?) RETURNING id",
                (self._before(cursor, seconds), STEP),
            ).fetchall()
            return Removed(len(dropped), 0)  # their content went when they were dropped

        return await self._database.write(job)

    async def prune_refusals(self, seconds: float) -> Removed:
        """Remove refusals of at least so long ago."""

        def job(cursor: Cursor) -> Removed:
            refused = cursor.execute(
                "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals"
                " WHERE refused_ts <= ? ORDER BY id LIMIT ?) RETURNING id",
                (self._before(cursor, seconds), STEP),
            ).fetchall()
            return Removed(len(refused), 0)  # their number is bounded

        return await self._database.write(job)

    async def prune_received(self, seconds: float) -> Removed:
        """Remove transactions that came at least so long ago, oldest first."""

        def delete(cursor: Cursor, first_id: int, last_id: int) -> None:
            cursor.execute(
                "DELETE FROM received_transactions WHERE id > ? AND id <= ?",
                (first_id, last_id),
            )

        return await self._prune_received(seconds, delete, is_stripped=True)

    async def strip_received(self, seconds: float) -> Removed:
        """Remove the content of transactions that came at least so long ago.

        The oldest first that still have it.
        """

        def strip(cursor: Cursor, after_id: int, last_id: int) -> None:
            cursor.execute(
                "UPDATE received_transactions SET edus = '[]', problems = '[]',"
                " remarks = '[]' WHERE id > ? AND id <= ?",
                (after_id, last_id),
            )

        return await self._prune_received(seconds, strip, is_stripped=False)

    async def _prune_received(
        self,
        seconds: float,
        remove: Callable[[Cursor, int, int], None],
        *,
        is_stripped: bool,
    ) -> Removed:
        """Remove the PDUs of the oldest transactions, and what `remove` removes.

        With `is_stripped`, also those that have lost their content already.
        """

        def job(cursor: Cursor) -> Removed:
            lock_counts(cursor)
            pruned = pruned_id(cursor)
            after_id = 0 if is_stripped else pruned
            chosen = self._oldest(cursor, after_id, seconds)
            if not chosen:
                return _NOTHING
            where = (after_id, chosen[-1])
            before = received_length(cursor, *where)
            cursor.execute(
                "DELETE FROM received_pdus"
                " WHERE transaction_id > ? AND transaction_id <= ?",
                where,
            )
            remove(cursor, *where)
            cursor.execute(
                "UPDATE retention SET pruned_id = ?", (max(pruned, chosen[-1]),)
            )
            length = before - received_length(cursor, *where)
            return _subtract(cursor, Removed(len(chosen), length))

        return await self._database.write(job)

    def _oldest(self, cursor: Cursor, after_id: int, seconds: float) -> list[int]:
        """The next IDs, up to the first transaction that is too recent."""
        before_ts = self._before(cursor, seconds)
        chosen: list[int] = []
        for own_id, received_ts in cursor.execute(
            "SELECT id, received_ts FROM received_transactions WHERE id > ?"
            " AND id <= (SELECT received_id FROM retention) ORDER BY id LIMIT ?",
            (after_id, STEP),
        ).fetchall():
            if received_ts > before_ts:
                break
            chosen.append(own_id)
        return chosen

    def _before(self, cursor: Cursor, seconds: float) -> int:
        return self._clock(cursor) - int(seconds * 1000)


def pruned_id(cursor: Cursor) -> int:
    """The ID up to which received transactions have lost their content."""
    return int(cursor.execute("SELECT pruned_id FROM retention").fetchone()[0])


def _subtract(cursor: Cursor, removed: Removed) -> Removed:
    subtract(cursor, removed.length)
    return removed
