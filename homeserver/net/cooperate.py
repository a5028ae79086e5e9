"""Cooperative work: pauses between slices of long work, and concurrent work.

Rules: long work on data of a peer awaits `Pace.pause` between slices, and each slice is
short.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")

# For how long the reactor serves no I/O, however many works there are. It is too short
# for a waiting request to notice; a pause itself costs a hundredth of it.
_TURN_SECONDS = 0.003


class Pace:
    """How long all works together have used the present turn of the reactor."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began: float | None = None
        self._waiting: deque[Deferred[None]] = deque()

    async def pause(self) -> None:
        """Yield to the reactor if the turn is used up; works resume in order."""
        if self._began is None:
            self._begin_turn()
        if self._is_time():
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter

    async def run(self, steps: Generator[None, None, _T]) -> _T:
        """The result of a generator that yields where others may have their turn."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: _T = end.value
                return result
            await self.pause()

    def _begin_turn(self) -> None:
        self._began = self._clock.seconds()
        self._clock.callLater(0, self._end_turn)

    def _is_time(self) -> bool:
        began = self._began
        return began is not None and self._clock.seconds() - began >= _TURN_SECONDS

    def _end_turn(self) -> None:
        """Begin the next turn and resume waiting works."""
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
        """Fire with what `work` returns, or fail with what it raises."""
        ...


async def together(works: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Run `works` concurrently; raises the first failure."""
    begun = [Deferred.fromCoroutine(work) for work in works]
    try:
        await gatherResults(begun, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
