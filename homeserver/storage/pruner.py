"""Pruning while the endpoint runs: by age, and by size where there is a limit.

Rules: each step is short, and is followed by a pause of four times its length, in which
the store serves others. What is removed for its age is too old also by the time that
`RetentionStore.lag` counts. Beyond the size, delivered transactions are removed first,
then the content of received ones, oldest first. Queued entries, and replies that may be
requested again, stay whatever the size.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from homeserver.config.values import Retention
from homeserver.net.bounds import Bound
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.retention import OUTCOMES, Removed, RetentionStore

PRUNED = ("sent", "received", "refused")
"""The kinds of what is removed."""

_CHECK_SECONDS = 60.0  # ages and sizes are of days and megabytes

_REST = 4.0  # times as long as the step before it
_LEAST_REST_SECONDS = 0.01

_DAY = 86400.0

# A sender repeats an unacknowledged transaction without a limit in the specification; a
# server that was away for longer than a week rarely returns.
_REPLY_SECONDS = 7 * _DAY

# A delivery can be queried for so long, whatever the size: `send` waits for it.
_LEAST_SENT_SECONDS = 600.0

_MEGABYTE = 1_000_000

# A stop of this length is usual; more is logged.
_LAG_SECONDS = 7 * _DAY


class Pruner:
    """Removes, once a minute, what has exceeded its retention."""

    _log = Logger()

    def __init__(
        self,
        store: RetentionStore,
        retention: Retention,
        clock: IReactorTime,
        observe: Callable[[str, int], object] = lambda *_: None,
    ) -> None:
        """`observe` takes the kind of what was removed, and the number."""
        self._store = store
        self._retention = retention
        self._clock = clock
        self._observe = observe
        self._is_running = False
        self._work: Deferred[None] | None = None
        self._resting: Deferred[None] | None = None
        self._megabytes = 0
        self._is_too_large = False
        self._is_behind = False
        self._aged_at = clock.seconds()
        self.bounds: list[Bound] = []
        if retention.max_megabytes is not None:
            bound = Bound(
                "kept_megabytes",
                "megabytes of transactions that are kept",
                retention.max_megabytes,
                lambda: self._megabytes,
            )
            self.bounds.append(bound)

    def start(self) -> None:
        """Begin."""
        self._is_running = True
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(lambda failure: self._log.failure("pruning", failure))

    async def stop(self) -> None:
        """End after the running step."""
        self._is_running = False
        if self._resting is not None:
            self._resting.cancel()
        if self._work is not None:
            await self._work

    async def _run(self) -> None:
        while self._is_running:
            try:
                lag = await self._lag()
                await self._prune_old(lag)
                for bound in self.bounds:
                    await self._prune_large(bound, lag)
            except StoreUnavailable:
                pass  # logged elsewhere; the next run removes the rest
            await self._rest(_CHECK_SECONDS)

    async def _lag(self) -> float:
        """As `RetentionStore.lag`; logs once that it is long."""
        now = self._clock.seconds()
        lag = await self._store.lag(now - self._aged_at)
        self._aged_at = now
        if (lag > _LAG_SECONDS) != self._is_behind:
            self._is_behind = lag > _LAG_SECONDS
            if self._is_behind:
                self._log.warn(
                    "retention: the clock is {days} days ahead of the last pruning: "
                    "this server was stopped, or its clock was set; ages follow at "
                    "double speed, so that a wrong clock removes nothing at once",
                    days=round(lag / _DAY),
                )
        return lag

    async def _prune_old(self, lag: float) -> None:
        """Remove what is older than its retention, counted without the lag."""
        sent = self._retention.sent_days * _DAY + lag
        received = self._retention.received_days * _DAY + lag
        replies = max(received, _REPLY_SECONDS + lag)
        store = self._store
        while self._is_running and await store.count_received():
            await self._rest(_LEAST_REST_SECONDS)
        for outcome in OUTCOMES:
            while self._is_running and await store.count_sent(outcome):
                await self._rest(_LEAST_REST_SECONDS)
        for of, step, seconds in (
            ("sent", partial(store.prune_sent, "delivered_ts"), sent),
            ("sent", partial(store.prune_sent, "rejected_ts"), sent),
            ("sent", partial(store.prune_sent, "dropped_ts"), sent),
            ("sent", store.prune_dropped_entries, sent),
            ("received", store.prune_received, replies),
            ("received", store.strip_received, received),
            ("refused", store.prune_refusals, received),
        ):
            while self._is_running and (await self._do(of, step, seconds)).count:
                pass

    async def _prune_large(self, bound: Bound, lag: float) -> None:
        """Remove transactions until the size is below the limit, or none is left."""
        surplus = await self._surplus(bound)
        store = self._store
        for of, step, seconds in (
            ("sent", partial(store.prune_sent, "delivered_ts"), _LEAST_SENT_SECONDS),
            ("received", store.prune_received, _REPLY_SECONDS + lag),
            ("received", store.strip_received, 0.0),
        ):
            while self._is_running and surplus > 0:
                removed = await self._do(of, step, seconds)
                if not removed.count:
                    break
                surplus -= removed.length
                bound.refuse(removed.count)
        self._report_surplus(await self._surplus(bound))

    async def _surplus(self, bound: Bound) -> int:
        """The bytes beyond the limit."""
        length = await self._store.length()
        self._megabytes = length // _MEGABYTE
        return length - bound.limit * _MEGABYTE

    def _report_surplus(self, surplus: int) -> None:
        """Log once that the size exceeds the limit with nothing left to remove."""
        if (surplus > 0) != self._is_too_large:
            self._is_too_large = surplus > 0
            if self._is_too_large:
                self._log.warn(
                    "retention.max_megabytes: {megabytes} MB are kept, and no more can "
                    "be removed: they are replies of the last week, or rejected, or of "
                    "rooms",
                    megabytes=self._megabytes,
                )

    async def _do(
        self, of: str, step: Callable[[float], Awaitable[Removed]], seconds: float
    ) -> Removed:
        """Take one step, and rest."""
        began = self._clock.seconds()
        removed = await step(seconds)
        if removed.count:
            self._observe(of, removed.count)
            took = self._clock.seconds() - began
            await self._rest(max(_REST * took, _LEAST_REST_SECONDS))
        return removed

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the pruner stops."""
        if self._is_running:
            self._resting = deferLater(self._clock, seconds)
            with suppress(CancelledError):
                await self._resting
