"""Work that lets others have their turn, and work that is done at the same time.

Rules of the room: who works on what a peer has sent asks now and then whether it is
time to pause; what is worked on is small enough in between.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from twisted.internet import task
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")

# For which nobody else is heard. A request that waits behind one of these does not
# notice; a pause itself costs a hundredth of it.
_TURN_SECONDS = 0.003


class Pace:
    """The time since others had their turn."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._since = clock.seconds()

    async def pause(self) -> None:
        """Let others have their turn, if it is time."""
        if self._clock.seconds() - self._since >= _TURN_SECONDS:
            await task.deferLater(self._clock, 0)
            self._since = self._clock.seconds()


class InThread(Protocol):
    """Calls a function in a thread."""

    def __call__(self, work: Callable[[], _T]) -> Deferred[_T]:
        """What `work` returns or raises, once it has."""
        ...


async def together(works: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Do all of `works` at the same time; raises what the first that fails raises."""
    begun = [Deferred.fromCoroutine(work) for work in works]
    try:
        await gatherResults(begun, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
