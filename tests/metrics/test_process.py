"""What is measured of the process, held against Prometheus' own client library."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from homeserver.metrics import process
from tests.metrics.series import families, series

_NAME = Path("/proc/self/comm")


def measured() -> bytes:
    """What there is of the process."""
    return "".join(f"{line}\n" for line in process.expose()).encode()


@pytest.fixture
def odd() -> Iterator[None]:
    """The process has an odd name, and may open fewer files than it could ask for."""
    name = _NAME.read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _NAME.write_text("a) R 1 (b")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft // 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    _NAME.write_text(name)


@pytest.mark.usefixtures("odd")
def test_the_library_measures_the_same() -> None:
    """Each metric of the library is there, of its type, with about its value."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    ours, theirs = measured(), generate_latest(registry)
    assert {each.name: each.type for each in families(ours)} == {
        each.name: each.type for each in families(theirs)
    }
    expected = series(theirs)
    for name, value in series(ours).items():
        # The one is read a moment after the other. When the system was started, the
        # library knows to the second.
        near = 2.0 if name == "process_start_time_seconds" else 0.2 * value
        assert value == pytest.approx(expected[name], rel=0, abs=near)


def test_where_there_is_nothing_to_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A system that tells processes nothing is no reason to fail."""
    monkeypatch.setattr(process, "_SELF", tmp_path)
    assert measured() == b""
