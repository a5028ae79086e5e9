"""How late the reactor is, and whether the clock was set: a look at both each second.

Rules: for as long as a call is late, all I/O has waited. That the clock was set is said
once, with by how much.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from homeserver.net.wall_clock import wall_seconds

_BEAT_SECONDS = 1.0  # it costs some microseconds

# What is set by less is not noticed: a clock that is adjusted as it should be gains or
# loses half a millisecond in a second.
_JUMP_SECONDS = 1.0


class Pulse:
    """Measures while it runs."""

    def __init__(
        self,
        clock: IReactorTime,
        observe: Callable[[float], object],
        jumped: Callable[[float], object],
    ) -> None:
        """`observe` takes the seconds by which each call was late.

        `jumped` takes those by which the clock was set, below zero if it was set back.
        """
        self._clock = clock
        self._observe = observe
        self._jumped = jumped
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin."""
        self._offset = self._measure_offset()
        self._wait()

    def stop(self) -> None:
        """End, if it was begun."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _wait(self) -> None:
        self._next = self._clock.callLater(_BEAT_SECONDS, self._beat)
        self._due = self._clock.seconds() + _BEAT_SECONDS

    def _beat(self) -> None:
        self._observe(max(0.0, self._clock.seconds() - self._due))
        before, self._offset = self._offset, self._measure_offset()
        if abs(self._offset - before) >= _JUMP_SECONDS:
            self._jumped(self._offset - before)
        self._wait()

    def _measure_offset(self) -> float:
        """How far the clock is ahead of the time to wait by."""
        return wall_seconds(self._clock) - self._clock.seconds()
