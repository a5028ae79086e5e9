"""Waiting for what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_SECONDS = 120.0  # for what takes one; machines are shared


def eventually(look: Callable[[], _T]) -> _T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + _SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)
    return found
