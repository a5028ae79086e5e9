"""One scrape: the metrics of the process, and the outbound queue from the store.

Rules: a scrape is answered even if the store does not answer.
"""

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.monitoring.metrics import Metrics
from homeserver.net.time_limit import within
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.progress import PendingTotals, TotalsStore

_STORE_SECONDS = 3.0  # Prometheus waits ten seconds for the whole scrape


class Scrape:
    """Reads the metrics of the process."""

    def __init__(
        self, metrics: Metrics, totals: TotalsStore, clock: IReactorTime
    ) -> None:
        self._metrics = metrics
        self._totals = totals
        self._clock = clock

    async def read(self) -> bytes:
        """All metrics, as `Registry.expose`; NaN for what the store did not answer."""
        self._metrics.set_pending(await self._load_totals())
        self._metrics.collect_bounds()
        return self._metrics.registry.expose()

    async def _load_totals(self) -> PendingTotals | None:
        try:
            return await within(_STORE_SECONDS, self._clock, self._totals.load())
        except (StoreUnavailable, defer.TimeoutError):
            return None
