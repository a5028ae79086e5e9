"""A pruner over a store that says what it is asked to remove."""

from collections import Counter
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.config.values import Retention
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.pruner import Pruner
from homeserver.storage.retention import Removed, RetentionStore

DAY = 86400.0


class Steps:
    """Steps that say what they are asked for, and find what the test has put there."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        """Each step that had something to remove, and how old it had to be."""

        self.left: dict[tuple[str, float], list[Removed]] = {}
        """What each step still has to remove, by how old it is."""

        self.size = 0
        self.clock_ahead = 0.0
        """By how much the time of ages is behind the clock."""

        self.elapsed: list[float] = []
        """What was said to have passed, each time that ages were counted."""

        self.uncounted: Counter[str] = Counter()
        self.is_unavailable = False
        self.waiting: Deferred[None] | None = None

    async def lag(self, seconds: float) -> float:
        """As `RetentionStore`."""
        if self.is_unavailable:
            raise StoreUnavailable("gone")
        self.elapsed.append(seconds)
        return self.clock_ahead

    async def count_received(self) -> bool:
        """Count one of those that are not counted yet."""
        if self.is_unavailable:
            raise StoreUnavailable("gone")
        return self._count("received")

    async def count_sent(self, outcome: str) -> bool:
        """Count one of those that are not counted yet."""
        return self._count(outcome)

    def _count(self, kind: str) -> bool:
        self.uncounted[kind] -= 1
        return self.uncounted[kind] >= 0

    async def length(self) -> int:
        """The size that the test says."""
        return self.size

    async def prune_sent(self, outcome: str, seconds: float) -> Removed:
        """As `RetentionStore`."""
        return await self._remove(outcome.removesuffix("_ts"), seconds)

    async def prune_dropped_entries(self, seconds: float) -> Removed:
        """As `RetentionStore`."""
        return await self._remove("entries", seconds)

    async def prune_received(self, seconds: float) -> Removed:
        """As `RetentionStore`."""
        return await self._remove("received", seconds)

    async def strip_received(self, seconds: float) -> Removed:
        """As `RetentionStore`."""
        return await self._remove("content", seconds)

    async def prune_refusals(self, seconds: float) -> Removed:
        """As `RetentionStore`."""
        return await self._remove("refusals", seconds)

    async def _remove(self, what: str, seconds: float) -> Removed:
        if self.waiting is not None:
            await self.waiting
        for (kind, age), left in self.left.items():
            if kind == what and age >= seconds and left:
                self.asked.append((what, seconds))
                removed = left.pop(0)
                self.size -= removed.length
                return removed
        return Removed(0, 0)


class Pruning:
    """A pruner over such a store."""

    def __init__(self, retention: Retention) -> None:
        self.clock = Clock()
        self.store = Steps()
        self.counted: list[tuple[str, int]] = []
        self.pruner = Pruner(
            cast("RetentionStore", self.store),
            retention,
            self.clock,
            lambda of, count: self.counted.append((of, count)),
        )

    def put(self, what: str, days: float, *lengths: int) -> None:
        """Have something that is so old, a step for each length."""
        self.store.left[what, days * DAY] = [Removed(50, each) for each in lengths]
        self.store.size += sum(lengths)

    def run(self, seconds: float = 1.0) -> list[tuple[str, float]]:
        """Run for a while; what was removed, and how many days old it had to be."""
        self.pruner.start()
        for _ in range(int(seconds * 100)):
            self.clock.advance(0.01)
        return [(what, round(age / DAY, 3)) for what, age in self.store.asked]
