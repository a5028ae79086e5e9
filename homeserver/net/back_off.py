"""Exponential back-off: the pause after a failure, twice as long after each one.

Rules: pure arithmetic and a bounded table of failures; a pause has no jitter here.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from homeserver.net.bounded_map import BoundedMap, SharedLimit

_K = TypeVar("_K", bound=Hashable)

MAX_KEYS = 10_000  # more servers than most ever talk to

# The exponent is bounded so that the power stays a number.
_MAX_DOUBLINGS = 60


def doubled(first: float, failures: int) -> float:
    """The seconds after so many failures in a row, which are `first` after one."""
    return first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)


class BackOff(Generic[_K]):
    """How long to remember a failure: each time twice as long as before."""

    def __init__(
        self, first: float, most: float, limit: SharedLimit | None = None
    ) -> None:
        """In seconds: for the first failure, and at most. `limit` is for the keys."""
        self._first = first
        self._most = most
        self._failures: BoundedMap[_K, int] = BoundedMap(limit or MAX_KEYS)

    def fail(self, key: _K, least: float = 0.0) -> float:
        """Count one more failure; for how many seconds to remember it.

        That is at least `least`, in the limits of all failures.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return min(max(doubled(self._first, failures), least), self._most)

    def succeed(self, key: _K) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def forget_all(self) -> None:
        """Forget the failures of every key."""
        self._failures.clear()
