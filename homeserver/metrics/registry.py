"""Metrics of one endpoint: made, described and exposed.

Rules of the room: nothing is registered for the whole process. A label has few values,
all of them ours, because each is kept for ever. Those that are known are there from the
beginning: what is not there cannot be told from what did not happen.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from msgspec import Struct

from homeserver.metrics import process
from homeserver.metrics.series import Counter, Gauge, Histogram, Metric, head

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
        self._metrics: list[Metric] = []
        self.described: list[Described] = []
        """Those that were made here, in that order."""

    def counter(self, name: str, what: str, labels: Labels = _NONE) -> Counter:
        """What only grows; its name ends with `_total`."""
        counter = Counter(list(labels))
        self._describe(counter, name, what, labels)
        return counter

    def gauge(self, name: str, what: str, labels: Labels = _NONE) -> Gauge:
        """What grows and shrinks."""
        gauge = Gauge(list(labels))
        self._describe(gauge, name, what, labels)
        return gauge

    def histogram(
        self,
        name: str,
        what: str,
        buckets: Sequence[float],
        labels: Labels = _NONE,
    ) -> Histogram:
        """How often something was up to each of some sizes, the `buckets`."""
        histogram = Histogram(buckets, list(labels))
        self._describe(histogram, name, what, labels)
        return histogram

    def expose(self) -> bytes:
        """All of them, in Prometheus' text format, version 0.0.4."""
        return "".join(f"{line}\n" for line in self._lines()).encode("utf-8")

    def _lines(self) -> Iterator[str]:
        yield from process.expose()
        for metric, each in zip(self._metrics, self.described, strict=True):
            yield from head(each.name, each.kind, each.help)
            yield from metric.expose(each.name)

    def _describe(self, metric: Metric, name: str, what: str, labels: Labels) -> None:
        self._metrics.append(metric)
        self.described.append(Described(name, metric.kind, what, labels))
        if labels:
            for values in product(*labels.values()):
                metric.labels(*values)
