"""Counters, gauges and histograms, held against Prometheus' own client library."""

from math import nan

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from homeserver.metrics.registry import Registry
from homeserver.metrics.series import Counter
from tests.metrics.series import families

_BUCKETS = (0.001, 0.25, 1, 30)


def exposed(text: bytes) -> dict[str, object]:
    """What Prometheus reads, without what belongs to the process."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {
                (sample.name, *sorted(sample.labels.items())): repr(sample.value)
                for sample in family.samples
                if not sample.name.endswith("_created")
            },
        )
        for family in families(text)
        if not family.name.startswith("process_")
        and not family.name.endswith("_created")
    }


def test_what_we_expose_is_what_the_library_exposes() -> None:
    """The same counted in both is the same for who reads it."""
    registry, theirs = Registry(), CollectorRegistry()
    for counter, gauge, histogram, plain in (
        (
            registry.counter("things_total", "Things.", {"kind": (), "b": ()}),
            registry.gauge("level", "A level.", {"where": ["x", "y", "z"]}),
            registry.histogram("seconds", "Seconds.", _BUCKETS, {"who": ["a", "b"]}),
            registry.histogram("sizes", "Sizes.", _BUCKETS),
        ),
        (
            prometheus_client.Counter(
                "things_total", "Things.", ["kind", "b"], registry=theirs
            ),
            prometheus_client.Gauge("level", "A level.", ["where"], registry=theirs),
            prometheus_client.Histogram(
                "seconds", "Seconds.", ["who"], registry=theirs, buckets=_BUCKETS
            ),
            prometheus_client.Histogram(
                "sizes", "Sizes.", registry=theirs, buckets=_BUCKETS
            ),
        ),
    ):
        counter.labels("plain", "1").inc()
        counter.labels("plain", "1").inc(2)
        counter.labels('"quoted" \\ and\nbroken', "{/v1/a}").inc(0.5)
        gauge.labels("x").set(1e10)
        gauge.labels("y").set(nan)
        gauge.labels("z").set_function(lambda: -7)
        histogram.labels("b")
        for size in (0, 0.001, 0.0011, 1, 30, 30.5, 1e9):
            histogram.labels("a").observe(size)
        plain.observe(0.3)
    assert exposed(registry.expose()) == exposed(generate_latest(theirs))
    # Who reads it in Go takes more, but this is how the format has it.
    assert b'level{where="y"} NaN\n' in registry.expose()


def test_a_series_has_a_value_of_each_label() -> None:
    """Too few values, or too many, are a mistake of ours that is told at once."""
    for values in ((), ("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match="not a value for each of"):
            Counter(["x", "y"]).labels(*values)
