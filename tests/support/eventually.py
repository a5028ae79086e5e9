"""Waiting for what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

HANGING_SECONDS = 120.0
"""After so long, a test that waits is taken to hang: no machine is that slow."""


def eventually(look: Callable[[], _T]) -> _T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + HANGING_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)
    return found
