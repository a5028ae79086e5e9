"""A time limit for asynchronous work.

Rules: work that takes too long is cancelled. The caller then sees a time-out, whatever
exception the cancellation raised in the work.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from homeserver.net.handled import handled, release

_T = TypeVar("_T")


async def within(
    seconds: float,
    clock: IReactorTime,
    work: Coroutine[Deferred[Any], Any, _T] | Deferred[_T],
) -> _T:
    """The result of `work`; raises what it raises, and `defer.TimeoutError`."""
    running = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    try:
        if running.called and not running.paused:
            return await running  # done at once, as most: a timer costs more than that
        return await running.addTimeout(seconds, clock, _end)
    except defer.TimeoutError as problem:
        # Another one, which Twisted's frames below this one do not hold.
        raise defer.TimeoutError(*handled(problem).args) from None


def _end(result: _T | Failure, seconds: float) -> _T:
    """As `addTimeout` does it; nothing is kept of the work that was cancelled."""
    if isinstance(result, Failure):
        result.trap(defer.CancelledError)
        release(result)
        raise defer.TimeoutError(seconds, "Deferred")
    return result
