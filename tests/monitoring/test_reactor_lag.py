"""How late the reactor is said to be, and by how much the clock was set."""

import pytest
from twisted.internet.task import Clock

from homeserver.monitoring.reactor_lag import ReactorLag


class Late(Clock):
    """A clock whose calls come when the test says so."""

    def oversleep(self, seconds: float) -> None:
        """Let time go by, and make the calls that were due only then."""
        self.rightNow += seconds
        self.advance(0)


def test_on_time() -> None:
    """A call that comes when it is due is not late."""
    clock, delays = Clock(), list[float]()
    ReactorLag(clock, delays.append, print).start()
    clock.pump([1.0, 1.0, 0.5])
    assert delays == [0.0, 0.0]


def test_late() -> None:
    """A call that comes later is late by that, and the next one by its own delay."""
    clock, delays = Late(), list[float]()
    ReactorLag(clock, delays.append, print).start()
    clock.oversleep(1.25)
    clock.oversleep(3.0)
    clock.oversleep(1.0)
    assert delays == pytest.approx([0.25, 2.0, 0.0])


class Machine(Clock):
    """A clock beside which there is another one, that can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 1_700_000_000.0

    def wall_seconds(self) -> float:
        """The time that others have as well."""
        return self.seconds() + self.ahead


def test_clock_that_is_set() -> None:
    """By how much the clock was set is told once; no call was late because of it."""
    clock, delays, jumps = Machine(), list[float](), list[float]()
    ReactorLag(clock, delays.append, jumps.append).start()
    for seconds in (0.0, -86_400.0, 0.0, 3600.0, 0.0, 1.0, -1.0):
        clock.ahead += seconds
        clock.advance(1)
    assert delays == [0.0] * 7
    assert jumps == [-86_400.0, 3600.0, 1.0, -1.0]


def test_clock_that_is_adjusted() -> None:
    """A clock that is led to the right time slowly is not said to be set."""
    clock, jumps = Machine(), list[float]()
    ReactorLag(clock, print, jumps.append).start()
    for _ in range(100):
        clock.ahead += 0.9
        clock.advance(1)
    assert jumps == []


def test_stopped() -> None:
    """What was stopped leaves no call behind; it may never have been started."""
    clock, delays = Clock(), list[float]()
    lag = ReactorLag(clock, delays.append, print)
    lag.stop()
    lag.start()
    clock.advance(1)
    lag.stop()
    lag.stop()
    assert clock.getDelayedCalls() == []
    assert delays == [0.0]
