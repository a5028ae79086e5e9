"""One reading of the metrics: what was counted, and what the store says now.

Rules of the room: a monitor is answered also where the store is not.
"""

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.monitoring.metrics import Metrics
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.progress import Owed
from homeserver.storage.outbox.queue import OutboundQueue

_STORE_SECONDS = 3.0  # a monitor gives us ten for all


class Scrape:
    """Reads the metrics of one endpoint."""

    def __init__(
        self, metrics: Metrics, queue: OutboundQueue, clock: IReactorTime
    ) -> None:
        self._metrics = metrics
        self._queue = queue
        self._clock = clock

    async def read(self) -> bytes:
        """All metrics, as `Registry.expose`; what the store does not say is NaN."""
        self._metrics.set_owed(await self._load_owed())
        self._metrics.collect_bounds()
        return self._metrics.registry.expose()

    async def _load_owed(self) -> Owed | None:
        try:
            return await Deferred.fromCoroutine(self._queue.owed()).addTimeout(
                _STORE_SECONDS, self._clock
            )
        except (StoreUnavailable, defer.TimeoutError):
            return None
