"""How late the reactor is: a call that is due each second, and looks at the clock.

Rules of the room: for as long as a call is late, nobody was heard.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_BEAT_SECONDS = 1.0  # it costs some microseconds


class Pulse:
    """Measures while it runs."""

    def __init__(self, clock: IReactorTime, observe: Callable[[float], object]) -> None:
        """`observe` takes the seconds by which each call was late."""
        self._clock = clock
        self._observe = observe
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin."""
        self._next = self._clock.callLater(_BEAT_SECONDS, self._beat)
        self._due = self._clock.seconds() + _BEAT_SECONDS

    def stop(self) -> None:
        """End, if it was begun."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _beat(self) -> None:
        # Not before it was due, should the clock have been set back.
        self._observe(max(0.0, self._clock.seconds() - self._due))
        self.start()
