"""What was looked up a moment ago, and what is being looked up now.

Rules of the room: ten who ask at once cost one look-up. A look-up belongs to nobody:
who asked for it may give up, it goes on for the others. What it raises is told to all
who wait and is not kept; who wants a failure to be remembered makes it a value. The
number of entries is bounded, because peers choose the names.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from homeserver.net.bounds import Bound

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

MAX_ENTRIES = 10_000  # more servers than most ever talk to


class Kept(Struct, Generic[_K, _V], frozen=True):
    """A value that is kept, for a person."""

    key: _K
    value: _V
    age: float
    """For how many seconds it has been kept."""

    left: float
    """For how many seconds it is still kept."""


class _Entry(Struct, Generic[_V], frozen=True):
    value: _V
    since: float
    until: float


class Cache(Generic[_K, _V]):
    """Values by key, each until its time is over."""

    def __init__(self, clock: IReactorTime, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[_K, _Entry[_V]] = OrderedDict()
        self._waiting: dict[_K, list[Deferred[_V]]] = {}
        self._bound: Bound | None = None

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
        kept = self._find(key)
        if kept is not None and is_wanted(kept.value):
            return kept.value
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
            now = self._clock.seconds()
            self._entries[key] = _Entry(value, now, now + seconds)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
            if self._bound is not None:
                self._bound.refuse()

    def make_bound(self, name: str, what: str) -> Bound:
        """The bound on the number of values, which counts those that it pushes out."""
        self._bound = Bound(name, what, self._max_entries, lambda: len(self._entries))
        return self._bound

    def is_kept(self, key: _K) -> bool:
        """Whether nothing has to be looked up for the value of `key`."""
        return self._find(key) is not None

    def find(self, key: _K) -> Kept[_K, _V] | None:
        """The value that is kept of `key`; None if it would be looked up."""
        entry = self._find(key)
        return None if entry is None else self._show(key, entry)

    def kept(self) -> list[Kept[_K, _V]]:
        """All values that are kept, the latest last."""
        now = self._clock.seconds()
        return [self._show(k, e) for k, e in self._entries.items() if e.until > now]

    def forget_all(self) -> None:
        """As `forget`, of every key."""
        self._entries.clear()
        self._waiting.clear()

    def forget(self, key: _K) -> None:
        """Let who asks from now on have `key` looked up anew.

        What is being looked up now is told to who waits for it already, and not kept.
        """
        self._entries.pop(key, None)
        self._waiting.pop(key, None)

    def forget_where(self, is_meant: Callable[[_K], bool]) -> None:
        """As `forget`, of each key that is meant."""
        for key in [*self._entries, *self._waiting]:
            if is_meant(key):
                self.forget(key)

    def _find(self, key: _K) -> _Entry[_V] | None:
        entry = self._entries.get(key)
        return (
            entry if entry is not None and entry.until > self._clock.seconds() else None
        )

    def _show(self, key: _K, entry: _Entry[_V]) -> Kept[_K, _V]:
        now = self._clock.seconds()
        return Kept(key, entry.value, now - entry.since, entry.until - now)

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

    def forget_all(self) -> None:
        """Forget the failures of every key."""
        self._failures.clear()
