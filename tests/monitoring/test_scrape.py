"""What a monitor reads, also where the store does not answer."""

from math import isnan
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.monitoring.metrics import Metrics
from homeserver.monitoring.scrape import Scrape
from homeserver.net.bounds import Bound
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.progress import PendingTotals, TotalsStore
from tests.support.metric_series import series


class Totals:
    """A store that says what it is told to."""

    def __init__(self) -> None:
        self.answer: Deferred[PendingTotals] = Deferred()

    async def load(self) -> PendingTotals:
        """As `TotalsStore.load`."""
        return await self.answer


class ScrapeTests(SynchronousTestCase):
    """One reading."""

    def setUp(self) -> None:
        """Begin to read."""
        self.clock = Clock()
        self.totals = Totals()
        self.metrics = Metrics()
        scrape = Scrape(
            self.metrics, cast("TotalsStore", cast("Any", self.totals)), self.clock
        )
        self.reading = Deferred.fromCoroutine(scrape.read())

    def values(self) -> dict[str, float]:
        """What is owed, as it was read."""
        found = series(self.successResultOf(self.reading))
        return {k: v for k, v in found.items() if k.startswith("homeserver_outbound")}

    def test_what_is_owed(self) -> None:
        """What the store says is exposed."""
        self.assertNoResult(self.reading)
        self.totals.answer.callback(PendingTotals(5, 1.5, 3, 2))
        assert self.values() == {
            "homeserver_outbound_entries": 5.0,
            "homeserver_outbound_oldest_entry_age_seconds": 1.5,
            'homeserver_outbound_destinations{state="waiting"}': 3.0,
            'homeserver_outbound_destinations{state="backing_off"}': 2.0,
        }

    def test_store_that_is_not_available(self) -> None:
        """What the store does not say is no number; the rest is read."""
        self.totals.answer.errback(StoreUnavailable("full"))
        assert all(map(isnan, self.values().values()))

    def test_store_that_does_not_answer(self) -> None:
        """A store that hangs is not waited for for long."""
        self.clock.advance(2.9)
        self.assertNoResult(self.reading)
        self.clock.advance(0.1)
        assert all(map(isnan, self.values().values()))

    def test_refusals_of_a_bound(self) -> None:
        """What a bound has refused until it is read is exposed."""
        bound = Bound("doors", "open doors", 5, lambda: 3)
        self.metrics.watch_bounds([bound])
        bound.refuse()
        self.totals.answer.callback(PendingTotals(0, 0.0, 0, 0))
        found = series(self.successResultOf(self.reading))
        assert found['homeserver_bound_refusals_total{bound="doors"}'] == 1
