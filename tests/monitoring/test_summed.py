"""The metrics of several processes as those of one."""

from homeserver.monitoring import summed
from homeserver.monitoring.metrics import Metrics
from homeserver.monitoring.registry import Registry


def exposed(a: float, b: float | None, entries: float) -> bytes:
    """A counter with one or two series, a histogram, and two gauges."""
    registry = Registry()
    counter = registry.counter("x_total", "Counted.", {"of": ()})
    counter.labels("a b").inc(a)
    if b is not None:
        counter.labels("c").inc(b)
    registry.histogram("h", "Taken.", (1, 2)).observe(a)
    registry.gauge("g", "Is.").set(a)
    registry.gauge("homeserver_outbound_entries", "Are.").set(entries)
    return registry.expose()


def test_sums() -> None:
    """Parts are added, and what all have alike is not; series of one are kept."""
    texts = [exposed(1, None, 7), exposed(2, 5, float("nan")), exposed(3, None, 7)]
    lines = summed.add(texts).decode().splitlines()
    own = [line for line in lines if not line.startswith(("process_", "#"))]
    assert own == [
        'x_total{of="a b"} 6.0',
        'x_total{of="c"} 5.0',
        'h_bucket{le="1.0"} 1.0',
        'h_bucket{le="2.0"} 2.0',
        'h_bucket{le="+Inf"} 3.0',
        "h_count 3.0",
        "h_sum 6.0",
        "g 6.0",
        "homeserver_outbound_entries 7.0",
    ]
    at = lines.index('x_total{of="a b"} 6.0')
    assert lines[at - 2 : at] == ["# HELP x_total Counted.", "# TYPE x_total counter"]
    assert lines.count("# TYPE x_total counter") == 1


def test_one() -> None:
    """The metrics of one process are what they were."""
    text = Metrics().registry.expose()
    assert summed.add([text]).splitlines() == text.splitlines()


def test_what_all_have_alike_is_there() -> None:
    """Each name is that of a gauge."""
    text = Metrics().registry.expose().decode()
    for name in summed.SAME_FOR_ALL:
        assert f"# TYPE {name} gauge\n" in text
