"""Waiting for what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

ANSWER_SECONDS = 50.0
"""How long a test waits for one step.

After a minute, the program itself ends much that a test expects to end for another
reason.
"""

HANGING_SECONDS = 120.0
"""After so long, a test that waits is taken to hang: no machine is that slow."""


def eventually(look: Callable[[], _T]) -> _T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + HANGING_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)
    return found
