"""Counters, gauges and histograms: one number or several, by the values of labels.

Rules of the room: any thread may count, and another one may read meanwhile. They are
read as Prometheus reads them, in no other way.

Format: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf, isnan
from threading import Lock
from typing import ClassVar, Self


class Metric:
    """A series, or where there are labels: one series for each of their values."""

    kind: ClassVar[str]
    """As Prometheus calls it."""

    def __init__(self, labels: Sequence[str] = ()) -> None:
        """`labels` are their names."""
        self._names = labels
        self._by_values: dict[tuple[str, ...], Self] = {}
        self._lock = Lock()

    def labels(self, *values: str) -> Self:
        """The series of these values, in the order of the names; made if need be."""
        with self._lock:
            if values not in self._by_values:
                if len(values) != len(self._names):
                    raise ValueError(f"not a value for each of {self._names}: {values}")
                self._by_values[values] = self.another()
            return self._by_values[values]

    def another(self) -> Self:
        """One series of this kind."""
        return type(self)()

    def expose(self, name: str) -> Iterator[str]:
        """The lines of all its series."""
        if not self._names:
            yield from self.lines(name, "")
        with self._lock:
            by_values = dict(self._by_values)
        for values, series in by_values.items():
            pairs = zip(self._names, values, strict=True)
            labels = ",".join(f'{label}="{_escape(value)}"' for label, value in pairs)
            yield from series.lines(name, labels)

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """The lines of this one series."""
        raise NotImplementedError


class Counter(Metric):
    """What only grows."""

    kind = "counter"
    _value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more."""
        with self._lock:
            self._value += amount

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As `Metric`."""
        yield line(name, self._value, labels)


class Gauge(Metric):
    """What grows and shrinks."""

    kind = "gauge"
    _value = 0.0
    _read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Be `value` from now on."""
        self._value = value

    def set_function(self, read: Callable[[], float]) -> None:
        """Be what `read` says whenever somebody wants to know."""
        self._read = read

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As `Metric`."""
        yield line(name, self._value if self._read is None else self._read(), labels)


class Histogram(Metric):
    """How often something was up to each of some sizes, and its sum."""

    kind = "histogram"

    def __init__(self, buckets: Sequence[float], labels: Sequence[str] = ()) -> None:
        """`buckets` are the sizes, which grow; beyond the last there is no limit."""
        super().__init__(labels)
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def another(self) -> Self:
        """As `Metric`."""
        return type(self)(self._buckets)

    def observe(self, size: float) -> None:
        """Count something of this size."""
        with self._lock:
            self._counts[bisect_left(self._buckets, size)] += 1
            self._sum += size

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As `Metric`."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        before = f"{labels}," if labels else ""
        # Each has those in it that are smaller.
        for size, count in zip((*self._buckets, inf), accumulate(counts), strict=True):
            yield line(f"{name}_bucket", count, f'{before}le="{_number(size)}"')
        yield line(f"{name}_count", sum(counts), labels)
        yield line(f"{name}_sum", total, labels)


def head(name: str, kind: str, what: str) -> Iterator[str]:
    """The lines that come before those of a metric's series; `what` is its help."""
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"


def line(name: str, value: float, labels: str = "") -> str:
    """A series, and what it is now."""
    of = f"{{{labels}}}" if labels else ""
    return f"{name}{of} {_number(value)}"


def _number(value: float) -> str:
    if isnan(value):
        return "NaN"
    return "+Inf" if value == inf else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
