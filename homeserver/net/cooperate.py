"""Cooperative work: pauses between slices of long work, and concurrent work.

Rules: long work on data of a peer awaits `Pace.pause` between slices, and each slice is
short. In turns, the work that has used least time goes on, and the one that waits for
longest: a short work is not held up by long ones, and a long one not for ever by many
short ones.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")

# For how long the reactor serves no I/O, however many works there are. It is too short
# for a waiting request to notice; a pause itself costs a hundredth of it.
_TURN_SECONDS = 0.003

# Where a crowd's I/O keeps the reactor, works have a part of its time as well: else an
# honest transaction waits for all of the crowd once for each of its slices. After the
# process has stood still, a turn is not longer than others can wait.
_PART_OF_TIME = 0.25
_LONGEST_TURN_SECONDS = 0.05


class _Work:
    """The work of one coroutine, with all that it begins."""

    def __init__(self) -> None:
        self.used = 0.0
        """In seconds, in slices after a pause."""


# Of the coroutine that runs: those that it begins have it as well.
_present: ContextVar[_Work | None] = ContextVar("present work", default=None)


class Pace:
    """How long all works together have used the present turn of the reactor."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began: float | None = None
        self._seconds = _TURN_SECONDS  # of the present turn
        self._waiting: OrderedDict[Deferred[None], _Work] = OrderedDict()
        self._is_for_oldest = False

    def begin_work(self) -> None:
        """Count the time of the present coroutine as that of one work from now on."""
        _present.set(_Work())

    async def pause(self) -> None:
        """Yield to the reactor if the turn is used up."""
        if self._began is None:
            self._begin_turn()
        if self._is_time():
            waiter: Deferred[None] = Deferred()
            work = _present.get()
            self._waiting[waiter] = _Work() if work is None else work
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
        return began is not None and self._clock.seconds() - began >= self._seconds

    def _end_turn(self) -> None:
        """Begin the next turn and resume waiting works."""
        began = self._began
        passed = 0.0 if began is None else self._clock.seconds() - began
        part = min(passed * _PART_OF_TIME, _LONGEST_TURN_SECONDS)
        self._seconds = max(part, _TURN_SECONDS)
        self._began = None
        if self._waiting:
            self._begin_turn()
        else:
            self._seconds = _TURN_SECONDS  # the next work may begin much later
        while self._waiting:
            waiter = self._next()
            work, began = self._waiting.pop(waiter), self._clock.seconds()
            waiter.callback(None)
            work.used += self._clock.seconds() - began
            if self._is_time():
                break

    def _next(self) -> Deferred[None]:
        self._is_for_oldest = not self._is_for_oldest
        if self._is_for_oldest:
            return next(iter(self._waiting))
        return min(self._waiting, key=lambda waiter: self._waiting[waiter].used)


class InThread(Protocol):
    """Calls a function in a thread."""

    def __call__(self, work: Callable[[], _T]) -> Deferred[_T]:
        """Fire with what `work` returns, or fail with what it raises."""
        ...


async def together(works: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Run `works` concurrently; raises the first failure."""
    begun = [Deferred.fromCoroutine(work) for work in works]
    if len(begun) == 1:
        await begun[0]  # as most often, and nothing has to be gathered
        return
    try:
        await gatherResults(begun, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
