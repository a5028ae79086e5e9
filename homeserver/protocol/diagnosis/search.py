"""A search: how much it may try, and when others have their turn.

Rules: cost is counted, not measured, so that the same input always gives the same
result. The unit is a microsecond of one core of 2026.
"""

# The 40 ms that a diagnosis may take are also held by a machine that is loaded.
LIMIT_US = 15_000

SLICE_US = 800  # the reactor may stand still for 5 ms; one trial takes up to 2

_TRIAL_US = 55  # one ed25519 verification, and building what it is over
_HASH_US = 20  # building alone, or with SHA-256
_BYTES_PER_US = 200  # SHA-512 of the message, and copying it twice


class Work:
    """The work of one search."""

    def __init__(self, limit: int = LIMIT_US) -> None:
        self._left = limit
        self._slice = SLICE_US

    @property
    def is_over(self) -> bool:
        """Whether the search has to end."""
        return self._left <= 0

    def try_one(self, length: int, extra: int = 0) -> bool:
        """Count a signature verified over `length` bytes; whether the slice is over.

        `extra` is what was done for it beside, in microseconds.
        """
        return self._count(_TRIAL_US + length // _BYTES_PER_US + extra)

    def hash_one(self, length: int, extra: int = 0) -> bool:
        """As `try_one`, for bytes that were made and at most hashed."""
        return self._count(_HASH_US + length // _BYTES_PER_US + extra)

    def _count(self, cost: int) -> bool:
        self._left -= cost
        self._slice -= cost
        if self._slice > 0:
            return False
        self._slice = SLICE_US
        return True
