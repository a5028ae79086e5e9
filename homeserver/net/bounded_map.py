"""A mapping with a limited number of entries, which evicts the oldest.

Rules: setting a key makes it the newest entry. Peers choose the keys of many tables;
each of these tables is a bounded map, so that none grows with the number of keys.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class BoundedMap(OrderedDict[_K, _V]):
    """A mapping in the order in which its keys were set last, the oldest first."""

    def __init__(
        self, limit: int, evicted: Callable[[_V], object] = lambda _: None
    ) -> None:
        """`evicted` is called with each value that makes room for another one."""
        super().__init__()
        self._limit = limit
        self._evicted = evicted

    def __setitem__(self, key: _K, value: _V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._limit:
            self.evict_oldest()

    def evict_oldest(self) -> None:
        """Remove the entry whose key was set the longest time ago."""
        _, value = self.popitem(last=False)
        self._evicted(value)
