"""How late the reactor is said to be."""

import pytest
from twisted.internet.task import Clock

from homeserver.pulse import Pulse


class Late(Clock):
    """A clock whose calls come when the test says so."""

    def oversleep(self, seconds: float) -> None:
        """Let time go by, and make the calls that were due only then."""
        self.rightNow += seconds
        self.advance(0)


def test_on_time() -> None:
    """A call that comes when it is due is not late."""
    clock, delays = Clock(), list[float]()
    Pulse(clock, delays.append).start()
    clock.pump([1.0, 1.0, 0.5])
    assert delays == [0.0, 0.0]


def test_late() -> None:
    """A call that comes later is late by that, and the next one by its own delay."""
    clock, delays = Late(), list[float]()
    Pulse(clock, delays.append).start()
    clock.oversleep(1.25)
    clock.oversleep(3.0)
    clock.oversleep(1.0)
    assert delays == pytest.approx([0.25, 2.0, 0.0])


def test_clock_that_was_set_back() -> None:
    """No call is earlier than it was due."""
    clock, delays = Clock(), list[float]()
    pulse = Pulse(clock, delays.append)
    pulse.start()
    clock.rightNow -= 5
    pulse._beat()
    assert delays == [0.0]


def test_stopped() -> None:
    """What was stopped leaves no call behind; it may never have been started."""
    clock, delays = Clock(), list[float]()
    pulse = Pulse(clock, delays.append)
    pulse.stop()
    pulse.start()
    clock.advance(1)
    pulse.stop()
    pulse.stop()
    assert clock.getDelayedCalls() == []
    assert delays == [0.0]
