"""A search: how much it may try, and when others have their turn.

Rules: cost is counted, not measured, so that the same input always gives the same
result. The unit is a microsecond of one core of 2026.
"""

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")

Steps = Generator[None, None, _T]
"""A search: it yields between slices, and returns what it found."""

# A third of a request's budget of 40 ms is left for reading it and for slower machines.
LIMIT_US = 24_000

_SLICE_US = 2_000  # the reactor may stand still for 5 ms

_TRIAL_US = 55  # one ed25519 verification, and building what it is over
_SKIPPED_US = 8  # building alone
_BYTES_PER_US = 200  # SHA-512 of the message, and copying it twice


class Work:
    """The work of one search."""

    def __init__(self, limit: int = LIMIT_US) -> None:
        self._left = limit
        self._slice = _SLICE_US

    @property
    def is_over(self) -> bool:
        """Whether the search has to end."""
        return self._left <= 0

    def try_one(self, length: int, extra: int = 0, *, is_skipped: bool = False) -> bool:
        """Count a trial over `length` bytes; whether the slice is over.

        `extra` is what was done for it beside, in microseconds. A skipped trial was
        made before.
        """
        trial = _SKIPPED_US if is_skipped else _TRIAL_US
        cost = trial + length // _BYTES_PER_US + extra
        self._left -= cost
        self._slice -= cost
        if self._slice > 0:
            return False
        self._slice = _SLICE_US
        return True


def run(steps: Steps[_T]) -> _T:
    """The result of a search, without pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
