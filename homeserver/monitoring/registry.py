"""Metrics of one endpoint: made, described and exposed.

Rules: no metric is registered for the whole process. A label has few values, none of
them chosen by a peer, because each value is kept for the life of the process. Series
whose label values are known are exposed from the start with 0: a missing series cannot
be told from one without events.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

Labels = Mapping[str, Sequence[str]]
"""The values of each label; empty if they are not known in advance."""

_NONE: Labels = {}


class Described(Struct, frozen=True):
    """A metric as the documentation lists it."""

    name: str
    kind: str
    """`counter`, `gauge` or `histogram`."""

    help: str
    labels: Labels


class Registry:
    """The metrics of one endpoint, and those of its process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.described: list[Described] = []
        """The metrics that were created here, in that order."""

    def counter(self, name: str, what: str, labels: Labels = _NONE) -> Counter:
        """A value that only grows; its name must end with `_total`."""
        counter = Counter(name, what, labels, registry=self._registry)
        self._describe(counter, Described(name, "counter", what, labels))
        return counter

    def gauge(self, name: str, what: str, labels: Labels = _NONE) -> Gauge:
        """A value that grows and shrinks."""
        gauge = Gauge(name, what, labels, registry=self._registry)
        self._describe(gauge, Described(name, "gauge", what, labels))
        return gauge

    def histogram(
        self,
        name: str,
        what: str,
        buckets: Sequence[float],
        labels: Labels = _NONE,
    ) -> Histogram:
        """A distribution, counted by the upper bounds in `buckets`."""
        histogram = Histogram(
            name, what, labels, registry=self._registry, buckets=buckets
        )
        self._describe(histogram, Described(name, "histogram", what, labels))
        return histogram

    def expose(self) -> bytes:
        """All metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(_WithoutCreated(self._registry))

    def _describe(
        self, metric: Counter | Gauge | Histogram, described: Described
    ) -> None:
        self.described.append(described)
        if described.labels:
            for values in product(*described.labels.values()):
                metric.labels(*values)


class _WithoutCreated(Collector):
    """A registry without the creation time of each series.

    Those times would add one series to each series of a counter or histogram.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """As `Collector`."""
        for metric in self._registry.collect():
            metric.samples = [
                sample
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ]
            yield metric
