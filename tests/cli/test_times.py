"""How a duration is told, and a time beside the present one."""

import pytest

from homeserver.cli.times import duration, relative
from tests.support.shown_times import HOUR, NOW

DURATIONS = [
    (0.0, "0 s"),
    (0.9, "0 s"),
    (119.9, "119 s"),
    (120.0, "2 min"),
    (7199.0, "119 min"),
    (7200.0, "2 h"),
    (86_400.0, "24 h"),
    (172_799.0, "47 h"),
    (172_800.0, "2 days"),
    (1e9, "11574 days"),
]


@pytest.mark.parametrize(("seconds", "shown"), DURATIONS)
def test_duration(seconds: float, shown: str) -> None:
    """A duration is a whole number of the unit in which it is easily read."""
    assert duration(seconds) == shown


def test_relative() -> None:
    """A time is that long ago, or in that time."""
    assert relative(NOW - 24 * HOUR, NOW) == "24 h ago"
    assert relative(NOW + 12_000, NOW) == "in 12 s"
    assert relative(NOW, NOW) == "in 0 s"
