"""How metrics are made, described and exposed."""

import prometheus_client

from homeserver.monitoring.registry import Described, Registry
from tests.support.metric_series import families, series


def test_values_that_are_known_are_there_from_the_beginning() -> None:
    """Each combination of known values has a series before anything happens."""
    registry = Registry()
    labels = {"a": ["x", "y"], "b": ["z"]}
    registry.counter("things_total", "Things.", labels)
    found = series(registry.expose())
    assert found['things_total{a="x",b="z"}'] == 0.0
    assert found['things_total{a="y",b="z"}'] == 0.0


def test_values_that_are_not_known_come_when_they_occur() -> None:
    """A label whose values are not known has none before something happens."""
    registry = Registry()
    things = registry.counter("things_total", "Things.", {"a": ["x"], "b": ()})
    assert not [name for name in series(registry.expose()) if name.startswith("things")]
    things.labels("x", "y").inc()
    assert series(registry.expose())['things_total{a="x",b="y"}'] == 1.0


def test_described() -> None:
    """What was made is described, in that order, as it is exposed."""
    registry = Registry()
    registry.counter("a_total", "A.", {"l": ["x"]})
    registry.gauge("b", "B.")
    registry.histogram("c_seconds", "C.", [1.0])
    assert registry.described == [
        Described("a_total", "counter", "A.", {"l": ["x"]}),
        Described("b", "gauge", "B.", {}),
        Described("c_seconds", "histogram", "C.", {}),
    ]
    exposed = {family.name: family for family in families(registry.expose())}
    assert (exposed["a"].type, exposed["a"].documentation) == ("counter", "A.")
    assert (exposed["b"].type, exposed["b"].documentation) == ("gauge", "B.")
    assert exposed["c_seconds"].type == "histogram"


def test_no_series_tells_when_another_one_began() -> None:
    """A counter is one series, and not a second one with its time of birth."""
    registry = Registry()
    registry.counter("things_total", "Things.").inc()
    registry.histogram("sizes", "Sizes.", [1.0]).observe(0.5)
    assert not [name for name in series(registry.expose()) if "_created" in name]


def test_the_process_is_measured() -> None:
    """What the library knows of the process is exposed as well."""
    assert series(Registry().expose())["process_resident_memory_bytes"] > 1e6


def test_nothing_is_registered_for_the_process() -> None:
    """Two registries in one process know nothing of each other, nor has it one."""
    first, second = Registry(), Registry()
    first.counter("things_total", "Things.").inc()
    second.counter("things_total", "Other things.").inc(2)
    assert series(first.expose())["things_total"] == 1.0
    assert series(second.expose())["things_total"] == 2.0
    assert "things_total" not in series(
        prometheus_client.generate_latest(prometheus_client.REGISTRY)
    )
