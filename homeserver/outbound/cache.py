"""What was looked up a moment ago, and what is being looked up now.

Rules of the room: ten who ask at once cost one look-up. A look-up belongs to nobody:
who asked for it may give up, it goes on for the others. What it raises is told to all
who wait and is not kept; who wants a failure to be remembered makes it a value. The
number of entries is bounded, because peers choose the names.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

MAX_ENTRIES = 10_000  # a few megabytes, and more servers than most ever talk to


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
    ) -> _V:
        """The value of `key`; if there is none, that which `look_up` finds.

        `look_up` returns it with the number of seconds that it may be kept. Raises
        what `look_up` raises.
        """
        kept = self._entries.get(key)
        if kept is not None and kept[1] > self._clock.seconds():
            return kept[0]
        waiter: Deferred[_V] = Deferred()
        if key in self._waiting:
            self._waiting[key].append(waiter)
        else:
            self._waiting[key] = [waiter]
            Deferred.fromCoroutine(look_up()).addCallback(
                lambda found: self._keep(key, *found)
            ).addBoth(lambda result: self._tell(key, result))
        return await waiter

    def _keep(self, key: _K, value: _V, seconds: float) -> _V:
        self._entries.pop(key, None)
        if seconds > 0:
            self._entries[key] = (value, self._clock.seconds() + seconds)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return value

    def _tell(self, key: _K, result: _V | Failure) -> None:
        for waiter in self._waiting.pop(key):
            if not waiter.called:  # who was cancelled waits no more
                waiter.callback(result)
