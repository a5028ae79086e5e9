"""A mapping with a limited number of entries, which evicts the oldest.

Rules: setting a key makes it the newest entry. Peers choose the keys of many tables;
each of these tables is a bounded map, so that none grows with the number of keys.
Tables of one kind that several of our servers have share one limit: at the limit, a map
that has at least the average number of entries loses its oldest one, so that a flood of
entries to one server evicts no entry of a server that has few. Where values differ in
size, their bytes are limited instead (`ByteLimit`).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar
from weakref import ref

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class _Member(Protocol):
    """A map that counts towards a shared limit."""

    def __len__(self) -> int: ...

    def evict_oldest(self) -> None:
        """As `BoundedMap`."""
        ...


class _MemberRef(ref[_Member]):
    """A weak reference to a map, which knows its key."""

    __slots__ = ("key",)

    key: int


class SharedLimit:
    """A limit on the entries of several maps together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.use = 0
        """The entries of all maps."""

        # By the identity of the map, for maps that have entries.
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._members: dict[int, _MemberRef] = {}

    def update(self, member: _Member) -> None:
        """Count the entries of a map again, as it has changed."""
        key, count = id(member), len(member)
        if not count:
            self._forget(key)
            return
        if key not in self._members:
            # Without a reference to it: the map of a removed server goes with it.
            self._members[key] = _MemberRef(member, self._forget_lost)
            self._members[key].key = key
        self.use += count - self._counts.get(key, 0)
        self._counts[key] = count

    def make_room(self) -> None:
        """Evict entries until the limit is kept."""
        while self.use > self.limit:
            member = self._next_crowded()
            if member is not None:
                member.evict_oldest()

    def _next_crowded(self) -> _Member | None:
        """A map that has at least the average; each in turn."""
        average = self.use / len(self._counts)
        while True:
            key, count = next(iter(self._counts.items()))
            self._counts.move_to_end(key)
            if count >= average:
                return self._members[key]()

    def _forget_lost(self, lost: _MemberRef) -> None:
        self._forget(lost.key)

    def _forget(self, key: int) -> None:
        self.use -= self._counts.pop(key, 0)
        self._members.pop(key, None)


class ByteLimit:
    """A limit on the bytes of one map, which are estimated by `weigh`."""

    def __init__(self, limit: int, weigh: Callable[[Any], int]) -> None:
        """`weigh` returns the bytes of a value, with its key."""
        self.limit = limit
        self.use = 0
        self.weigh = weigh
        self._weights: dict[Hashable, int] = {}

    def add(self, key: Hashable, value: object) -> None:
        """Count the value of a key."""
        self.remove(key)
        self._weights[key] = self.weigh(value)
        self.use += self._weights[key]

    def remove(self, key: Hashable) -> None:
        """Count the value of a key no more; does nothing if it is not counted."""
        self.use -= self._weights.pop(key, 0)

    def clear(self) -> None:
        """Count nothing."""
        self._weights.clear()
        self.use = 0


class BoundedMap(OrderedDict[_K, _V]):
    """A mapping in the order in which its keys were set last, the oldest first."""

    __slots__ = ("_evicted", "_limit")  # each of our servers has a dozen

    def __init__(
        self,
        limit: int | SharedLimit | ByteLimit,
        evicted: Callable[[_V], object] = lambda _: None,
    ) -> None:
        """`evicted` is called with each value that makes room for another one.

        The newest value stays, however many bytes it has.
        """
        super().__init__()
        self._limit = limit
        self._evicted = evicted

    def __setitem__(self, key: _K, value: _V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if isinstance(self._limit, SharedLimit):
            self._limit.update(self)
            self._limit.make_room()
        elif isinstance(self._limit, ByteLimit):
            self._limit.add(key, value)
            while self._limit.use > self._limit.limit and len(self) > 1:
                self.evict_oldest()
        elif len(self) > self._limit:
            self.evict_oldest()

    def __delitem__(self, key: _K) -> None:
        super().__delitem__(key)
        self._count(key)

    def pop(self, *arguments: Any) -> Any:
        """As `dict`."""
        value = super().pop(*arguments)
        self._count(arguments[0])
        return value

    def popitem(self, last: bool = True) -> tuple[_K, _V]:  # noqa: FBT001, FBT002 - as in `OrderedDict`
        """As `OrderedDict`."""
        item = super().popitem(last)
        self._count(item[0])
        return item

    def clear(self) -> None:
        """As `dict`."""
        super().clear()
        if isinstance(self._limit, ByteLimit):
            self._limit.clear()
        self._count(None)

    def evict_oldest(self) -> None:
        """Remove the entry whose key was set the longest time ago."""
        _, value = self.popitem(last=False)
        self._evicted(value)

    def _count(self, removed: Hashable) -> None:
        if isinstance(self._limit, SharedLimit):
            self._limit.update(self)
        elif isinstance(self._limit, ByteLimit):
            self._limit.remove(removed)
