"""Work that lets others have their turn, and work that is done at the same time.

Rules of the room: who works on what a peer has sent asks now and then whether it is
time to pause; what is worked on is small enough in between.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")

# For which nobody else is heard, however many works there are. A request that waits
# behind one of these does not notice; a pause itself costs a hundredth of it.
_TURN_SECONDS = 0.003


class Pace:
    """How long works have kept the reactor in this turn of it, all of them together."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began: float | None = None
        self._waiting: deque[Deferred[None]] = deque()

    async def pause(self) -> None:
        """Let others have their turn, if it is time; they go on in their order."""
        if self._began is None:
            self._begin_turn()
        if self._is_time():
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter

    def _begin_turn(self) -> None:
        self._began = self._clock.seconds()
        self._clock.callLater(0, self._end_turn)

    def _is_time(self) -> bool:
        began = self._began
        return began is not None and self._clock.seconds() - began >= _TURN_SECONDS

    def _end_turn(self) -> None:
        """The turn is over, and it is the next one: go on, if somebody waits."""
        self._began = None
        if self._waiting:
            self._begin_turn()
        while self._waiting:
            self._waiting.popleft().callback(None)
            if self._is_time():
                break


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
