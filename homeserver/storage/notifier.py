"""Waiting for a commit of another part of this process, or of another process.

Rules: a writer announces a change after its commit, and waiters read the store again.
The announcement has no content. Processes on other machines that share the store
announce nothing here, so waiters also read it from time to time.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.time_limit import within

_T = TypeVar("_T")

# Between two reads without an announcement; a read is one short query.
_LOOK_SECONDS = 1.0


class Changes:
    """Changes of one kind, and the coroutines that wait for one."""

    # Each of our servers has four.
    __slots__ = ("__weakref__", "_clock", "_is_over", "_tell", "_waiting")

    def __init__(
        self, clock: IReactorTime, tell: Callable[[], object] | None = None
    ) -> None:
        """`tell` announces each change to other processes, which call `wake`."""
        self._clock = clock
        self._tell = tell
        self._waiting: dict[Deferred[None], None] = {}
        self._is_over = False

    def end_waits(self) -> None:
        """End all waits, now and from now on: what was read is enough."""
        self._is_over = True
        self.wake()

    def announce(self) -> None:
        """Announce a change."""
        self.wake()
        if self._tell is not None:
            self._tell()

    def wake(self) -> None:
        """Wake all that wait."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)

    async def until(
        self,
        look: Callable[[], Awaitable[_T]],
        enough: Callable[[_T], bool],
        seconds: float,
    ) -> _T:
        """What `look` returns once it is `enough`, or after `seconds` at the latest."""
        deadline = self._clock.seconds() + seconds
        while True:
            # Wait from before the look: a change during it must not be missed.
            changed: Deferred[None] = Deferred()
            self._waiting[changed] = None
            try:
                seen = await look()
                left = deadline - self._clock.seconds()
                if enough(seen) or left <= 0 or self._is_over:
                    return seen
                await within(min(left, _LOOK_SECONDS), self._clock, changed)
            except defer.TimeoutError:
                pass
            finally:
                self._waiting.pop(changed, None)
