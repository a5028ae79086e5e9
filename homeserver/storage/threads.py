"""A database with threads: one writes and one reads, each with its own connection.

Rules of the room: whatever waits when the writer is free is committed together, so
that an answer after the commit costs no commit of its own. While the store is not
there, nobody waits for it: calls fail at once, and the thread alone tries again.
"""

import contextlib
import queue
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

from homeserver.storage.condition import Condition
from homeserver.storage.connection import Connection
from homeserver.storage.database import Job, StoreUnavailable
from homeserver.storage.groups import (
    Call,
    Measure,
    Outcome,
    fail,
    measured_group,
    read_group,
    try_read,
    try_write,
)
from homeserver.storage.schema import migrate

_T = TypeVar("_T")

MAX_GROUP = 256  # jobs in one commit; bounds how long the first of them waits

# Longer than anybody waits for a lock; then the store is taken for one that hangs.
_CALL_SECONDS = 20.0

# Until a store that fails is tried without being asked, if its connection is as good as
# before; and from which to which a connection is tried to be made again.
_PROBE_SECONDS = 1.0
_FIRST_SECONDS, _LAST_SECONDS = 0.1, 2.0


class ThreadedDatabase:
    """A `Database`, with a thread that writes and a thread that reads."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        reactor: IReactorFromThreads,
        clock: IReactorTime,
        measure: Measure = nullcontext,
    ) -> None:
        """Connect, and bring the schema up to date; raises `StoreUnavailable`.

        `measure` is given the number of jobs of each group that is written, and
        surrounds it, in the thread that writes.
        """
        self._condition = Condition(clock)
        run = partial(measured_group, measure)
        self._writer, self._reader = [
            _Worker(duty, connect, reactor, clock, self._condition)
            for duty in (
                _Duty("writer", migrate, run, try_write),
                _Duty("reader", lambda _: None, read_group, try_read),
            )
        ]
        try:
            self._writer.open()
            self._reader.open()
        except BaseException:
            self._writer.abandon()
            raise

    @property
    def problem(self) -> str | None:
        """What is wrong with the store; None if the last that was tried went well."""
        return self._condition.problem

    def start(self) -> None:
        """Start the threads."""
        self._writer.start()
        self._reader.start()

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        return await self._writer.call(job)

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        return await self._reader.call(job)

    async def close(self) -> None:
        """Finish what was begun, close the connections and end the threads."""
        await self._writer.stop()
        await self._reader.stop()


@dataclass(frozen=True, slots=True)
class _Duty:
    """What a thread is there for."""

    name: str
    prepare: Callable[[Connection], None]
    """Makes a new connection to a store that may be another one."""

    run: Callable[[Connection, list[Call]], list[Outcome]]
    probe: Callable[[Connection], None]
    """Does the least that shows whether the store works."""


class _Worker:
    """A thread with a connection of its own and a queue of calls."""

    def __init__(
        self,
        duty: _Duty,
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
        self.connection: Connection | None = None
        # What is wrong, and how long a call is waited for before the store is tried.
        self._problem: str | None = None
        self._patience: float | None = None
        # Why nobody is to wait for the thread; of the reactor, as the rest is of the
        # thread.
        self._refusal: str | None = None
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._ended: Deferred[None] = Deferred()
        self._thread = Thread(target=self._work, name=f"store-{duty.name}", daemon=True)

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
        self._thread.start()

    async def call(self, job: Job[_T]) -> _T:
        if self._refusal is not None:
            raise StoreUnavailable(self._refusal)
        call = Call(job, Deferred())
        self._calls.put(call)
        try:
            result: _T = await call.result.addTimeout(_CALL_SECONDS, self._clock)
        except defer.TimeoutError:
            problem = f"the store has not answered for {_CALL_SECONDS:g} seconds"
            self._give_up(problem)
            raise StoreUnavailable(problem) from None
        return result

    async def stop(self) -> None:
        self._calls.put(None)
        await self._ended
        self._thread.join()

    def _give_up(self, problem: str) -> None:
        """Let nobody wait any more, until the thread has something to say again."""
        if self._refusal is None:
            self._refusal = self._problem = problem
            self._condition.note(self._duty.name, problem)
            connection = self.connection
            if connection is not None:
                connection.abort()

    def _report(self, problem: str | None, *, is_gone: bool) -> None:
        self._refusal = problem if is_gone else None
        self._condition.note(self._duty.name, problem)

    def _work(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._take()
            if group:
                outcomes = self._answer(group)
                problem = _problem(outcomes)
                if problem is None and self._problem is not None:
                    problem = self._try()  # who wrote nothing met no full disk
                self._note(problem)
                self._reactor.callFromThread(_deliver, outcomes)
            elif not is_last:
                self._note(self._try())
        self.abandon()
        self._reactor.callFromThread(self._ended.callback, None)

    def _take(self) -> tuple[list[Call], bool]:
        """What waits, and whether that is all; nothing if the store is to be tried."""
        group: list[Call] = []
        try:
            call = self._calls.get(timeout=self._patience)
            while call is not None:
                group.append(call)
                if len(group) == MAX_GROUP:
                    return group, False
                call = self._calls.get_nowait()
        except queue.Empty:
            return group, False
        return group, True

    def _answer(self, group: list[Call]) -> list[Outcome]:
        if self.connection is None:
            # It is not for who calls to wait until there is one again.
            return fail(group, Failure(StoreUnavailable(self._problem)))
        try:
            connection = self.open()
        except Exception as problem:  # noqa: BLE001 - as in `_try`
            return fail(group, Failure(StoreUnavailable(str(problem))))
        return self._duty.run(connection, group)

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


def _deliver(outcomes: list[Outcome]) -> None:
    for call, outcome in outcomes:
        # Who asked may have given up meanwhile; then nobody wants the result.
        if not call.result.called:
            call.result.callback(outcome)  # a Failure becomes an errback
