"""Rows, rounds and the table.

Rules: the servers of a row are measured in turns, forwards and backwards, so that other
load of the machine affects all alike. The table has medians, and the spread of the
rounds. A ratio is the median of those of the rounds, each of two neighbours in time,
with the interval that has the true median in 95 of 100 cases, once there are rounds
enough for one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OURS = "homeserver"
LIBSODIUM = "libsodium"


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one round."""

    value: float
    """In the unit of the row; less is better."""

    per_second: float | None = None
    """How many there were in a second of the clock, where that was measured."""


@dataclass(frozen=True)
class Row:
    """One measurement, for each server that takes part."""

    what: str
    unit: str
    measures: Mapping[str, Callable[[int], Sample]]
    """{server: measures one round, given its number}."""


@dataclass(frozen=True)
class Line:
    """The rounds of one server in one row."""

    server: str
    value: float
    spread: float
    """The distance between the least and the greatest, by the median."""

    per_second: float | None
    by_ours: float | None
    """How many times ours it is; None where there is none of ours."""

    error: float | None = None
    """By how much that may be wrong; None with few rounds."""


def measure(
    rows: Sequence[Row], rounds: int
) -> Iterator[tuple[Row, Mapping[str, Sequence[Sample]]]]:
    """Measure all rows, the servers of each in turns; yields each as it is done."""
    for row in rows:
        samples: dict[str, list[Sample]] = {server: [] for server in row.measures}
        for number in range(rounds):
            servers = list(row.measures)
            for server in reversed(servers) if number % 2 else servers:
                samples[server].append(row.measures[server](number))
        yield row, samples


def summarise(samples: Mapping[str, Sequence[Sample]]) -> list[Line]:
    """A line for each server."""
    return [
        Line(
            server,
            median(sample.value for sample in each),
            _spread([sample.value for sample in each]),
            _median_or_none([sample.per_second for sample in each]),
            *_compare(each, samples.get(OURS)),
        )
        for server, each in samples.items()
    ]


def _compare(
    theirs: Sequence[Sample], ours: Sequence[Sample] | None
) -> tuple[float | None, float | None]:
    """The ratio of two servers, and by how much it may be wrong."""
    if ours is None:
        return None, None
    ratios = sorted(a.value / b.value for a, b in zip(theirs, ours, strict=True))
    # That many rounds on each side are beyond the interval: a sign test.
    outside = math.floor((len(ratios) - 1.96 * math.sqrt(len(ratios))) / 2)
    if theirs is ours or outside < 1:
        return median(ratios), None
    return median(ratios), (ratios[-1 - outside] - ratios[outside]) / 2


def head() -> str:
    """The head of the table."""
    return (
        f"{'':46} {'':11} {'median':>9} {'unit':6} {'spread':>6}"
        f" {'a second':>8} {'by ours':>13}"
    )


def render(row: Row, samples: Mapping[str, Sequence[Sample]]) -> str:
    """The lines of one row."""
    lines = []
    what = row.what
    for line in summarise(samples):
        rate = "" if line.per_second is None else f"{line.per_second:.0f}"
        by_ours = "" if line.by_ours is None else f"{line.by_ours:.2f}"
        by_ours += "" if line.error is None else f" ±{line.error:.3f}"
        lines.append(
            f"{what:46} {line.server:11} {line.value:9.4g} {row.unit:6}"
            f" {line.spread:6.0%} {rate:>8} {by_ours:>13}".rstrip()
        )
        what = ""
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / median(values)


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
