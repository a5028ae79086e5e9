"""Metrics of one endpoint: made, described and exposed.

Rules of the room: nothing is registered for the whole process. A label has few values,
all of them ours, because each is kept for ever. Those that are known are there from the
beginning: what is not there cannot be told from what did not happen.
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
"""The values of each label; none where they are only known when they occur."""

_NONE: Labels = {}


class Described(Struct, frozen=True):
    """A metric, for who reads about it."""

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
        """Those that were made here, in that order."""

    def counter(self, name: str, what: str, labels: Labels = _NONE) -> Counter:
        """What only grows; its name ends with `_total`."""
        counter = Counter(name, what, labels, registry=self._registry)
        self._describe(counter, Described(name, "counter", what, labels))
        return counter

    def gauge(self, name: str, what: str, labels: Labels = _NONE) -> Gauge:
        """What grows and shrinks."""
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
        """How often something was up to each of some sizes, the `buckets`."""
        histogram = Histogram(
            name, what, labels, registry=self._registry, buckets=buckets
        )
        self._describe(histogram, Described(name, "histogram", what, labels))
        return histogram

    def expose(self) -> bytes:
        """All of them, in Prometheus' text format, version 0.0.4."""
        return generate_latest(_WithoutBirthdays(self._registry))

    def _describe(
        self, metric: Counter | Gauge | Histogram, described: Described
    ) -> None:
        self.described.append(described)
        if described.labels:
            for values in product(*described.labels.values()):
                metric.labels(*values)


class _WithoutBirthdays(Collector):
    """A registry without the time at which each series began.

    That would be one series more for each series of a counter or a histogram.
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
