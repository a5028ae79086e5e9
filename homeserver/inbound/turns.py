"""One transaction of an origin at a time at each of our servers, and the pace of all.

Rules: few transactions of one origin wait, as each has its content in memory. A correct
origin sends one at a time, and repeats it after its own timeout.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from homeserver.net.bounds import Bound
from homeserver.net.cooperate import Pace
from homeserver.net.locks import Locks
from homeserver.net.time_limit import within
from homeserver.protocol.errors import LimitExceeded
from homeserver.protocol.identifiers import ServerName

# How long a transaction waits for the one before it; the sender waits a minute.
_TURN_SECONDS = 30.0

_RETRY_SECONDS = 5  # about what a large transaction takes

_MAX_WAITING = 2  # of one origin


# Between two looks at a turn that another process has; a transaction takes longer.
_LOOK_SECONDS = 0.005


class Turns:
    """The turns of all origins."""

    def __init__(
        self, clock: IReactorTime, pace: Pace, locks: Locks | None = None
    ) -> None:
        """`pace` is that of the work on all transactions.

        `locks` are shared with other processes, if there are some.
        """
        self._clock = clock
        self._locks_of_all = locks
        self.pace = pace
        self._locks: dict[tuple[ServerName, ServerName], defer.DeferredLock] = {}
        self.bound = Bound(
            "transactions_waiting",
            "transactions that wait for another one of their origin",
            _MAX_WAITING,
            self._most_waiting,
        )

    @asynccontextmanager
    async def of(self, ours: ServerName, origin: ServerName) -> AsyncIterator[None]:
        """Have the turn of an origin at one of our servers.

        Raises `LimitExceeded` if that takes too long, or too many wait.
        """
        key = (ours, origin)
        lock = await self._take(key)
        shared = f"{ours} {origin}"
        is_held = False
        try:
            is_held = await self._take_of_all(shared, origin)
            yield
        finally:
            if is_held and self._locks_of_all is not None:
                self._locks_of_all.release(shared)
            # Before the release, as the next transaction may run to its end within it.
            if not lock.waiting:
                del self._locks[key]
            lock.release()

    def _most_waiting(self) -> int:
        """The longest of the waiting lists."""
        return max((len(lock.waiting) for lock in self._locks.values()), default=0)

    async def _take(self, key: tuple[ServerName, ServerName]) -> defer.DeferredLock:
        origin = key[1]
        lock = self._locks.setdefault(key, defer.DeferredLock())
        if not lock.locked:
            await lock.acquire()
            return lock
        if len(lock.waiting) >= _MAX_WAITING:
            self.bound.refuse()
            raise LimitExceeded(
                f"other transactions of {origin} are waiting", _RETRY_SECONDS
            )
        try:
            await within(_TURN_SECONDS, self._clock, lock.acquire())
        except defer.TimeoutError:
            raise _too_long(origin) from None
        return lock

    async def _take_of_all(self, shared: str, origin: ServerName) -> bool:
        """Wait until no other process has the turn; whether there are others."""
        locks = self._locks_of_all
        if locks is None:
            return False
        last = self._clock.seconds() + _TURN_SECONDS
        while not locks.take(shared):
            if self._clock.seconds() >= last:
                raise _too_long(origin)
            await deferLater(self._clock, _LOOK_SECONDS)
        return True


def _too_long(origin: ServerName) -> LimitExceeded:
    why = f"an earlier transaction of {origin} is still being processed"
    return LimitExceeded(why, _RETRY_SECONDS)
