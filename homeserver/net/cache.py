"""A cache of look-ups, in which callers for the same key share one look-up.

Rules: ten callers at once cost one look-up. A look-up goes on when the caller that
began it is cancelled, because others may wait for it. An exception is raised in all
waiting callers and is not kept; a failure to be remembered is returned as a value. The
number of entries is bounded, because peers choose the names. Those whose time is over
are removed together, each time after half as many new ones as there are entries, or a
hundred: what a crowd's look-ups leave for seconds does not fill the memory up to the
bound.
"""

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from homeserver.net.bounded_map import BoundedMap, ByteLimit, SharedLimit
from homeserver.net.bounds import Bound

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

MAX_ENTRIES = 10_000  # more servers than most ever talk to

_FEW_ENTRIES = 100  # that were kept since: they are not looked through


class Kept(Struct, Generic[_K, _V], frozen=True):
    """A value in the cache, to be shown."""

    key: _K
    value: _V
    age: float
    """For how many seconds it has been kept."""

    left: float
    """For how many more seconds it is kept."""


class _Entry(Struct, Generic[_V], frozen=True):
    value: _V
    since: float
    until: float


class Cache(Generic[_K, _V]):
    """Values by key, each with a time to live."""

    __slots__ = ("_bound", "_clock", "_entries", "_limit", "_unseen", "_waiting")

    def __init__(
        self,
        clock: IReactorTime,
        max_entries: int | SharedLimit | ByteLimit = MAX_ENTRIES,
    ) -> None:
        self._clock = clock
        if isinstance(max_entries, ByteLimit):
            weigh = max_entries.weigh
            max_entries = ByteLimit(max_entries.limit, lambda each: weigh(each.value))
        self._limit = max_entries
        self._entries: BoundedMap[_K, _Entry[_V]] = BoundedMap(
            max_entries, self._count_eviction
        )
        self._unseen = 0  # entries since all were looked through
        self._waiting: dict[_K, list[Deferred[_V]]] = {}
        self._bound: Bound | None = None

    async def fetch(
        self,
        key: _K,
        look_up: Callable[[], Coroutine[Deferred[Any], Any, tuple[_V, float]]],
        is_wanted: Callable[[_V], bool] = lambda _: True,
    ) -> _V:
        """The value of `key`, from the cache or from `look_up`.

        `look_up` returns a value and for how many seconds to keep it. A kept value
        that is not wanted is looked up again. Raises what `look_up` raises.
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
        ).addBoth(lambda result: self._finish(key, waiting, result))
        return await waiter

    def keep(self, key: _K, value: _V, seconds: float) -> None:
        """Keep a value for so many seconds, without a look-up."""
        if seconds > 0:
            now = self._clock.seconds()
            self._unseen += 1
            if self._unseen > max(_FEW_ENTRIES, len(self._entries) // 2):
                self._remove_old(now)
            self._entries[key] = _Entry(value, now, now + seconds)
        else:
            self._entries.pop(key, None)

    def _remove_old(self, now: float) -> None:
        """Remove the entries that are over."""
        for key in [key for key, each in self._entries.items() if each.until <= now]:
            del self._entries[key]
        self._unseen = 0

    def make_bound(self, name: str, what: str) -> Bound:
        """The bound on the number of values, or on their bytes; it counts evictions."""
        limit = self._limit
        if isinstance(limit, ByteLimit):
            self._bound = Bound(name, what, limit.limit, lambda: limit.use)
        else:
            most = limit if isinstance(limit, int) else limit.limit
            self._bound = Bound(name, what, most, lambda: len(self._entries))
        return self._bound

    def _count_eviction(self, _: object) -> None:
        if self._bound is not None:
            self._bound.refuse()

    def is_kept(self, key: _K) -> bool:
        """Whether the value of `key` is in the cache."""
        return self._find(key) is not None

    def find(self, key: _K) -> Kept[_K, _V] | None:
        """The kept value of `key`; None if there is none."""
        entry = self._find(key)
        return None if entry is None else self._show(key, entry)

    def kept(self) -> list[Kept[_K, _V]]:
        """All values in the cache, the latest last."""
        now = self._clock.seconds()
        return [self._show(k, e) for k, e in self._entries.items() if e.until > now]

    def forget_all(self) -> None:
        """As `forget`, for every key."""
        self._entries.clear()
        self._waiting.clear()

    def forget(self, key: _K) -> None:
        """Look `key` up again for the next caller.

        The result of a look-up that is under way goes to its waiting callers and is
        not kept.
        """
        self._entries.pop(key, None)
        self._waiting.pop(key, None)

    def forget_where(self, is_meant: Callable[[_K], bool]) -> None:
        """As `forget`, for each key that is meant."""
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

    def _finish(
        self, key: _K, waiting: list[Deferred[_V]], result: _V | Failure
    ) -> None:
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
        for waiter in waiting:
            if not waiter.called:  # it was not cancelled
                waiter.callback(result)
