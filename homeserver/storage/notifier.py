"""Waiting for what another part of this process, or another process, will commit.

Rules of the room: who changes something announces it after the commit; who waits
looks at the store again. Nothing is handed over here but the news itself. Another
process that shares the store announces nothing here: who waits looks from time to time.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.time_limit import within

_T = TypeVar("_T")

_LOOK_SECONDS = 1.0  # between two looks without news; a look is one short question


class Changes:
    """A place to wait at."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: set[Deferred[None]] = set()
        self._is_over = False

    def end_waits(self) -> None:
        """From now on nobody waits: what there is, is enough."""
        self._is_over = True
        self.announce()

    def announce(self) -> None:
        """Wake everybody who waits."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)

    async def until(
        self,
        look: Callable[[], Awaitable[_T]],
        enough: Callable[[_T], bool],
        seconds: float,
    ) -> _T:
        """What `look` sees once that is `enough`, or after `seconds` at the latest."""
        deadline = self._clock.seconds() + seconds
        while True:
            # Wait from before the look: a change during it must not be missed.
            changed: Deferred[None] = Deferred()
            self._waiting.add(changed)
            try:
                seen = await look()
                left = deadline - self._clock.seconds()
                if enough(seen) or left <= 0 or self._is_over:
                    return seen
                await within(min(left, _LOOK_SECONDS), self._clock, changed)
            except defer.TimeoutError:
                pass
            finally:
                self._waiting.discard(changed)
