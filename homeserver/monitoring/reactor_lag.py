"""Reactor lag, and steps of the wall clock, both measured every second.

Rules: reactor lag is how late a timer due every second fires; all I/O waits that long.
Each step of the wall clock is reported once, with its size.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from homeserver.net.wall_clock import wall_seconds

_INTERVAL_SECONDS = 1.0  # a measurement takes some microseconds

# Smaller steps are ignored: a clock that is slewed gains or loses half a millisecond in
# a second.
_STEP_SECONDS = 1.0


class ReactorLag:
    """Measures both from `start` to `stop`."""

    def __init__(
        self,
        clock: IReactorTime,
        observe: Callable[[float], object],
        stepped: Callable[[float], object],
    ) -> None:
        """`observe` takes the lag in seconds, every second.

        `stepped` takes the size of a clock step in seconds, negative for a step back.
        """
        self._clock = clock
        self._observe = observe
        self._stepped = stepped
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Start measuring."""
        self._offset = self._measure_offset()
        self._wait()

    def stop(self) -> None:
        """Stop measuring, if started."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _wait(self) -> None:
        self._next = self._clock.callLater(_INTERVAL_SECONDS, self._measure)
        self._due = self._clock.seconds() + _INTERVAL_SECONDS

    def _measure(self) -> None:
        self._observe(max(0.0, self._clock.seconds() - self._due))
        before, self._offset = self._offset, self._measure_offset()
        if abs(self._offset - before) >= _STEP_SECONDS:
            self._stepped(self._offset - before)
        self._wait()

    def _measure_offset(self) -> float:
        """How far the wall clock is ahead of the monotonic clock."""
        return wall_seconds(self._clock) - self._clock.seconds()
