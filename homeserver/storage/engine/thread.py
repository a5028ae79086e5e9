"""A thread with a connection of its own, which is given one group of calls at a time.

Rules of the room: whatever is asked for while the thread is at work waits, and is the
next group, so that an answer after the commit costs no commit of its own. While the
store is not there, nobody waits for it: calls fail at once, and the thread alone tries
again.
"""

import contextlib
import queue
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFromThreads,
    IReactorTime,
)
from twisted.python.failure import Failure

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.group_commit import Call, Outcome, fail, try_write
from homeserver.storage.engine.health import Condition
from homeserver.storage.engine.interface import Job, Short, StoreUnavailable

_T = TypeVar("_T")

MAX_GROUP = 256  # jobs in one commit; bounds how long the first of them waits

# Longer than anybody waits for a lock; then the store is taken for one that hangs.
CALL_SECONDS = 20.0

# Until a store that fails is tried without being asked, if its connection is as good as
# before; and from which to which a connection is tried to be made again.
_PROBE_SECONDS = 1.0
_FIRST_SECONDS, _LAST_SECONDS = 0.1, 2.0


class Duty(Struct, frozen=True):
    """What a thread is there for."""

    name: str
    prepare: Callable[[Connection], None]
    """Makes a new connection to a store that may be another one."""

    run: Callable[[Connection, list[Call]], list[Outcome]]
    probe: Callable[[Connection], None]
    """Does the least that shows whether the store works."""

    observe: Callable[[int, float], object] = lambda *_: None
    """Takes how many jobs each group had, and how many seconds it took."""

    at_once: Callable[[list[Call]], list[Outcome] | None] = lambda _: None
    """Runs the first of some short jobs in the reactor's thread, without syncing
    them; None leaves all of them to the thread."""


class _Errand(Struct):
    """A job of the thread: calls to run, or outcomes whose commit it has to sync."""

    group: list[Call]
    outcomes: list[Outcome] | None
    began: float
    """In seconds."""

    alarm: IDelayedCall
    """Rings if the thread is not back in time."""


class Worker:
    """A thread that works on one errand after the other."""

    def __init__(
        self,
        duty: Duty,
        connect: Callable[[], Connection],
        reactor: IReactorFromThreads,
        clock: IReactorTime,
        condition: Condition,
    ) -> None:
        self._duty = duty
        self._connect = connect
        self._reactor = reactor
        self._clock = clock
        self._condition = condition
        self._thread = Thread(target=self._work, name=f"store-{duty.name}", daemon=True)
        self._errands: queue.SimpleQueue[_Errand | None] = queue.SimpleQueue()

        # Of the thread, once it has started: its connection, what is wrong, and how
        # long an errand is waited for before the store is tried.
        self.connection: Connection | None = None
        self._problem: str | None = None
        self._patience: float | None = None

        # Of the reactor: who waits for the thread, what the thread is at, and why
        # nobody is to wait for it.
        self._waiting: list[Call] = []
        self._is_called = False
        self._errand: _Errand | None = None
        self._refusal: str | None = None
        self.is_in_debt = False
        """Whether something may be committed at once that is not on the disk yet."""

        self._is_stopping = False
        self._ended: Deferred[None] = Deferred()

    def open(self) -> Connection:
        """The connection, or another one if it is lost; raises `StoreUnavailable`.

        Called by the thread once it has started.
        """
        if self.connection is not None:
            with contextlib.suppress(StoreUnavailable):
                self.connection.check()
            if not self.connection.is_lost:
                return self.connection
            self.abandon()
        self.connection = self._connect()
        try:
            self._duty.prepare(self.connection)
        except BaseException:
            self.abandon()
            raise
        return self.connection

    def abandon(self) -> None:
        """Close the connection, if there is one; called as `open`."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def call(self, job: Job[_T]) -> _T:
        """What `job` returns; raises what it raises, and `StoreUnavailable`."""
        if self._refusal is not None:
            raise StoreUnavailable(self._refusal)
        call = Call(job, Deferred())
        self._waiting.append(call)
        self._go_on_soon()
        result: _T = await call.result
        return result

    async def stop(self) -> None:
        """Finish what was begun, close the connection and end the thread."""
        self._is_stopping = True
        self._go_on_soon()
        await self._ended
        self._thread.join()

    # In the reactor's thread.

    def _go_on_soon(self) -> None:
        """Go on at the end of this turn of the reactor: others may call in it, too."""
        if self._errand is None and not self._is_called:
            self._is_called = True
            self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        """Give the thread its next errand, if there is one."""
        self._is_called = False
        if not self._waiting:
            if self._is_stopping:
                self._errands.put(None)
            return
        began = self._clock.seconds()
        group, outcomes = self._waiting[:MAX_GROUP], None
        if self._refusal is None and all(isinstance(c.job, Short) for c in group):
            outcomes = self._duty.at_once(group)
        if outcomes is not None:
            group = group[: len(outcomes)]
            self.is_in_debt = True
        del self._waiting[: len(group)]
        alarm = self._clock.callLater(CALL_SECONDS, self._give_up)
        self._errand = _Errand(group, outcomes, began, alarm)
        self._errands.put(self._errand)

    def _take_back(self, errand: _Errand, outcomes: list[Outcome]) -> None:
        """Tell the outcomes of an errand to those who called."""
        self._errand = None
        if outcomes is errand.outcomes:
            self.is_in_debt = False
        if errand.alarm.active():
            errand.alarm.cancel()
        self._duty.observe(len(outcomes), self._clock.seconds() - errand.began)
        if self._waiting or self._is_stopping:
            self._go_on_soon()
        _tell(outcomes)

    def _give_up(self) -> None:
        """Let nobody wait any more, until the thread has something to say again."""
        problem = f"the store has not answered for {CALL_SECONDS:g} seconds"
        self._refusal = self._problem = problem
        self._condition.note(self._duty.name, problem)
        connection = self.connection
        if connection is not None:
            connection.abort()
        group = [] if self._errand is None else self._errand.group
        waiting, self._waiting = self._waiting, []
        _tell(fail([*group, *waiting], Failure(StoreUnavailable(problem))))

    def _report(self, problem: str | None, *, is_gone: bool) -> None:
        self._refusal = problem if is_gone else None
        self._condition.note(self._duty.name, problem)

    # In the thread.

    def _work(self) -> None:
        while True:
            try:
                errand = self._errands.get(timeout=self._patience)
            except queue.Empty:
                self._note(self._try())
                continue
            if errand is None:
                break
            outcomes = self._answer(errand)
            problem = _problem(outcomes)
            if problem is None and self._problem is not None:
                problem = self._try()  # who wrote nothing met no full disk
            self._note(problem)
            self._reactor.callFromThread(self._take_back, errand, outcomes)
        self.abandon()
        self._reactor.callFromThread(self._ended.callback, None)

    def _answer(self, errand: _Errand) -> list[Outcome]:
        if self.connection is None:
            # It is not for who calls to wait until there is one again.
            return fail(errand.group, Failure(StoreUnavailable(self._problem)))
        try:
            connection = self.open()
            if errand.outcomes is not None:
                # A commit syncs the whole log, with the commits before it.
                try_write(connection)
                return errand.outcomes
        except Exception as problem:  # noqa: BLE001 - as in `_try`
            return fail(errand.group, Failure(StoreUnavailable(str(problem))))
        return self._duty.run(connection, errand.group)

    def _try(self) -> str | None:
        """What is wrong with the store, which nobody asks for now."""
        try:
            self._duty.probe(self.open())
        except Exception as problem:  # noqa: BLE001 - whatever it is, the thread lives on
            return str(problem)
        return None

    def _note(self, problem: str | None) -> None:
        if problem is None and self._problem is None:
            return
        if problem is None:
            self._patience = None
        elif self.connection is not None:
            self._patience = _PROBE_SECONDS
        else:
            longer = 2 * (self._patience or 0.0)
            self._patience = min(max(longer, _FIRST_SECONDS), _LAST_SECONDS)
        self._problem = problem
        self._reactor.callFromThread(
            self._report, problem, is_gone=self.connection is None
        )


def _problem(outcomes: list[Outcome]) -> str | None:
    """Why the store was not available to one of those that called."""
    for _, outcome in outcomes:
        if isinstance(outcome, Failure) and outcome.check(StoreUnavailable):
            return str(outcome.value)
    return None


def _tell(outcomes: list[Outcome]) -> None:
    for call, outcome in outcomes:
        # Who asked may have given up meanwhile; then nobody wants the result.
        if not call.result.called:
            call.result.callback(outcome)  # a Failure becomes an errback
