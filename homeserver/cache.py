"""What was looked up a moment ago, and what is being looked up now.

Rules of the room: ten who ask at once cost one look-up. A look-up belongs to nobody:
who asked for it may give up, it goes on for the others. What it raises is told to all
who wait and is not kept; who wants a failure to be remembered makes it a value. The
number of entries is bounded, because peers choose the names.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

MAX_ENTRIES = 10_000  # more servers than most ever talk to


class Cache(Generic[_K, _V]):
    """Values by key, each until its time is over."""

    def __init__(self, clock: IReactorTime, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[_K, tuple[_V, float]] = OrderedDict()
        self._waiting: dict[_K, list[Deferred[_V]]] = {}

    async def fetch(
        self,
        key: _K,
        look_up: Callable[[], Coroutine[Deferred[Any], Any, tuple[_V, float]]],
        is_wanted: Callable[[_V], bool] = lambda _: True,
    ) -> _V:
        """The value of `key`; if there is none, that which `look_up` finds.

        `look_up` returns it with the number of seconds that it may be kept. A kept
        value that is not wanted is looked up anew. Raises what `look_up` raises.
        """
        kept = self._entries.get(key)
        if kept is not None and kept[1] > self._clock.seconds() and is_wanted(kept[0]):
            return kept[0]
        waiter: Deferred[_V] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(waiter)
            return await waiter
        waiting = self._waiting[key] = [waiter]
        Deferred.fromCoroutine(look_up()).addCallback(
            lambda found: self._keep(key, waiting, *found)
        ).addBoth(lambda result: self._tell(key, waiting, result))
        return await waiter

    def keep(self, key: _K, value: _V, seconds: float) -> None:
        """Keep a value that was not looked up here, for so many seconds."""
        self._entries.pop(key, None)
        if seconds > 0:
            self._entries[key] = (value, self._clock.seconds() + seconds)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def is_kept(self, key: _K) -> bool:
        """Whether nothing has to be looked up for the value of `key`."""
        kept = self._entries.get(key)
        return kept is not None and kept[1] > self._clock.seconds()

    def forget(self, key: _K) -> None:
        """Let who asks from now on have `key` looked up anew.

        What is being looked up now is told to who waits for it already, and not kept.
        """
        self._entries.pop(key, None)
        self._waiting.pop(key, None)

    def _keep(
        self, key: _K, waiting: list[Deferred[_V]], value: _V, seconds: float
    ) -> _V:
        if self._waiting.get(key) is not waiting:
            return value  # forgotten
        self.keep(key, value, seconds)
        return value

    def _tell(self, key: _K, waiting: list[Deferred[_V]], result: _V | Failure) -> None:
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
        for waiter in waiting:
            if not waiter.called:  # who was cancelled waits no more
                waiter.callback(result)


class BackOff(Generic[_K]):
    """For how long a failure is remembered: twice as long as the one before it."""

    def __init__(self, first: float, most: float) -> None:
        """In seconds, of the first failure and of any."""
        self._first = first
        self._most = most
        self._failures: Counter[_K] = Counter()

    def fail(self, key: _K) -> float:
        """For how many seconds one more failure is to be remembered."""
        if len(self._failures) >= MAX_ENTRIES:
            self._failures.clear()  # strangers' names; those that matter fail again
        seconds = self._first * 2.0 ** self._failures[key]
        if seconds < self._most:
            self._failures[key] += 1
        return min(seconds, self._most)

    def succeed(self, key: _K) -> None:
        """Forget the failures of `key`."""
        del self._failures[key]
