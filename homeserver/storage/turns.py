"""Whose turn it is: which destinations are due, who serves each, and what came of it.

Rules of the room: a destination is served by one process at a time, its holder, until
the lease ends that its holder renews. Who cuts, or records an outcome, holds the
destination in that very commit. Times are those of the store: several processes that
share it need not agree on the time.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.names import ServerName
from homeserver.storage.cutting import (
    OwedTransaction,
    cut_transaction,
    drop_stale,
    mark_delivered,
    mark_failed,
    mark_refused,
    owed_transaction,
)
from homeserver.storage.database import Cursor, Database, StoreClock

_T = TypeVar("_T")

# A destination whose holder died waits for as long, less what was over when it died.
LEASE_SECONDS = 20.0

RENEWAL_SECONDS = 5.0  # a holder may miss two of them

# Who shares the store is told nothing of what others put into it, and looks.
_LOOK_SECONDS = 1.0

# Until what the store has damaged is read again, in case that somebody mended it.
_DAMAGED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What its holder is to send now."""

    transactions: Sequence[OwedTransaction]

    wait: float | None
    """In seconds, until there may be more; None where nobody is owed anything."""


class Turns:
    """The destinations, as one process shares them with others or has them alone."""

    def __init__(
        self,
        database: Database,
        origin: ServerName,
        clock: StoreClock,
        holder: str,
        longest_wait: float,
        *,
        is_shared: bool,
    ) -> None:
        """`holder` is a name of this process that no other one ever has.

        `longest_wait` is that of any back-off, in seconds.
        """
        self._database = database
        self._origin = origin
        self._clock = clock
        self._holder = holder
        self._longest_wait = max(longest_wait, LEASE_SECONDS)
        self._is_shared = is_shared

    async def owed(self) -> list[ServerName]:
        """The destinations that something is owed to."""

        def job(cursor: Cursor) -> list[ServerName]:
            rows = cursor.execute(
                "SELECT server_name FROM destinations WHERE due_ts IS NOT NULL"
            ).fetchall()
            return [ServerName.parse(name) for [name] in rows]

        return await self._database.read(job)

    async def begin(self, destinations: Sequence[ServerName], a_second: float) -> None:
        """Let destinations be due one after the other, so many a second.

        Those that another process holds are left to it. Where there can be no other
        one, who holds something is one that has died.
        """

        def job(cursor: Cursor) -> None:
            if not self._is_shared:
                cursor.execute(
                    "UPDATE destinations SET holder = NULL WHERE holder IS NOT NULL"
                )
            now_ts = self._clock(cursor)
            for index, destination in enumerate(destinations):
                cursor.execute(
                    "UPDATE destinations SET due_ts = ? WHERE server_name = ?"
                    " AND due_ts IS NOT NULL AND holder IS NULL",
                    (now_ts + int(index * 1000 / a_second), destination.name),
                )

        await self._database.write(job)

    async def claim(self, at_most: int, serving: Collection[ServerName]) -> Claim:
        """Hold destinations that are due, who is due for longest first.

        `serving` are those that this process serves already.
        """
        busy = frozenset(destination.name for destination in serving)

        def job(cursor: Cursor) -> Claim:
            now_ts = self._clock(cursor)
            # Nobody waits for longer than ever, should the clock have been set back.
            latest_ts = now_ts + int(self._longest_wait * 1000)
            cursor.execute(
                "UPDATE destinations SET due_ts = ? WHERE due_ts > ?",
                (latest_ts, latest_ts),
            )
            rows = cursor.execute(
                "SELECT server_name FROM destinations WHERE due_ts <= ?"
                " ORDER BY due_ts LIMIT ? FOR UPDATE SKIP LOCKED",
                (now_ts, at_most + len(busy)),
            ).fetchall()
            due = [name for [name] in rows if name not in busy][:at_most]
            found = [self._take(cursor, ServerName.parse(n), now_ts) for n in due]
            [next_ts] = cursor.execute(
                "SELECT MIN(due_ts) FROM destinations WHERE due_ts > ?", (now_ts,)
            ).fetchone()
            wait = None if next_ts is None else (next_ts - now_ts) / 1000
            if self._is_shared:
                wait = _LOOK_SECONDS if wait is None else min(wait, _LOOK_SECONDS)
            if len(due) == at_most:
                wait = 0.0
            return Claim([each for each in found if each], wait)

        return await self._database.write(job)

    def _take(
        self, cursor: Cursor, destination: ServerName, now_ts: int
    ) -> OwedTransaction | None:
        """Hold a destination that is owed something, and cut if nothing is cut."""
        owed = owed_transaction(cursor, destination)
        if owed is None:
            if not drop_stale(cursor, destination, now_ts):
                # The rest after everybody who is due now.
                self._set_due(cursor, destination, now_ts + 1)
                return None
            try:
                owed = cut_transaction(cursor, self._origin, destination, now_ts)
            except ProtocolError as problem:
                cursor.execute(
                    "UPDATE destinations SET failures = failures + 1, holder = NULL,"
                    " last_error = ?, due_ts = ? WHERE server_name = ?",
                    (
                        f"what is queued cannot be read: {problem}",
                        now_ts + int(_DAMAGED_SECONDS * 1000),
                        destination.name,
                    ),
                )
                return None
        if owed is None:
            self._set_due(cursor, destination, None)
            return None
        cursor.execute(
            "UPDATE destinations SET holder = ?, due_ts = ?, at_once = 0"
            " WHERE server_name = ?",
            (self._holder, now_ts + int(LEASE_SECONDS * 1000), destination.name),
        )
        return owed

    async def renew(self, destinations: Collection[ServerName]) -> None:
        """Hold on to destinations whose requests take their time."""
        # Now: while the job runs, in its thread, turns end and others begin.
        names = [destination.name for destination in destinations]

        def job(cursor: Cursor) -> None:
            due_ts = self._clock(cursor) + int(LEASE_SECONDS * 1000)
            for name in names:
                cursor.execute(
                    "UPDATE destinations SET due_ts = ?"
                    " WHERE server_name = ? AND holder = ?",
                    (due_ts, name, self._holder),
                )

        await self._database.write(job)

    async def give_back(self, owed: OwedTransaction) -> None:
        """Let a destination be due now that was claimed and not tried."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET holder = NULL, due_ts = ?"
                " WHERE server_name = ? AND holder = ?",
                (self._clock(cursor), owed.destination.name, self._holder),
            )

        await self._database.write(job)

    async def record_delivery(
        self, owed: OwedTransaction, reply: Json | None, connection: Json
    ) -> None:
        """Record that the destination has acknowledged a transaction."""

        def job(cursor: Cursor, now_ts: int) -> None:
            mark_delivered(cursor, owed, now_ts, reply, connection)
            self._go_on(cursor, owed, now_ts, None)

        await self._record(owed, job)

    async def record_refusal(
        self, owed: OwedTransaction, error: str, reply: Json | None
    ) -> None:
        """Record that the destination will never have a transaction; set it aside."""

        def job(cursor: Cursor, now_ts: int) -> None:
            mark_refused(cursor, owed, now_ts, error, reply)
            self._go_on(cursor, owed, now_ts, error)

        await self._record(owed, job)

    async def record_failure(
        self,
        owed: OwedTransaction,
        error: str,
        pause: Callable[[int], float],
        shortest_pause: float,
    ) -> float | None:
        """Record an attempt that was in vain; in how many seconds the next one is due.

        `pause` says that of so many failures in a row; `shortest_pause` is what is left
        of it if the destination shows life. None as `_record`.
        """

        def job(cursor: Cursor, now_ts: int) -> float:
            mark_failed(cursor, owed, error)
            [failures, at_once] = cursor.execute(
                "UPDATE destinations SET failures = failures + 1, last_error = ?,"
                " earliest_ts = ? WHERE server_name = ? RETURNING failures, at_once",
                (error, now_ts + int(shortest_pause * 1000), owed.destination.name),
            ).fetchone()
            seconds = 0.0 if at_once else pause(failures)
            self._set_due(cursor, owed.destination, now_ts + int(seconds * 1000))
            return seconds

        return await self._record(owed, job)

    async def _record(
        self, owed: OwedTransaction, job: Callable[[Cursor, int], _T]
    ) -> _T | None:
        """Record an outcome and end the turn; None if it was not ours any more.

        Then another process has the same bytes under way, and will record its own.
        """

        def checked(cursor: Cursor) -> _T | None:
            held = cursor.execute(
                "UPDATE destinations SET holder = NULL"
                " WHERE server_name = ? AND holder = ? RETURNING server_name",
                (owed.destination.name, self._holder),
            ).fetchall()
            return job(cursor, self._clock(cursor)) if held else None

        return await self._database.write(checked)

    def _go_on(
        self, cursor: Cursor, owed: OwedTransaction, now_ts: int, error: str | None
    ) -> None:
        """Let what else is owed to a destination that answers be due now."""
        cursor.execute(
            "UPDATE destinations SET queued = queued - ?, failures = 0, last_error = ?,"
            " due_ts = CASE WHEN queued > ? THEN ? END WHERE server_name = ?",
            (owed.entries, error, owed.entries, now_ts, owed.destination.name),
        )

    def _set_due(
        self, cursor: Cursor, destination: ServerName, due_ts: int | None
    ) -> None:
        cursor.execute(
            "UPDATE destinations SET holder = NULL, due_ts = ? WHERE server_name = ?",
            (due_ts, destination.name),
        )
