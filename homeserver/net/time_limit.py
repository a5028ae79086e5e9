"""A time limit for asynchronous work.

Rules: work that takes too long is cancelled. The caller then sees a time-out, whatever
exception the cancellation raised in the work.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")


async def within(
    seconds: float,
    clock: IReactorTime,
    work: Coroutine[Deferred[Any], Any, _T] | Deferred[_T],
) -> _T:
    """The result of `work`; raises what it raises, and `defer.TimeoutError`."""
    running = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    return await running.addTimeout(seconds, clock)
