"""A database with threads: one commits writes in groups, one reads.

Rules of the room: whatever waits when the writer is free is committed together, so
that an answer after the commit costs no commit of its own. A job that fails undoes
itself alone.
"""

import contextlib
import queue
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from homeserver.storage.connection import Conflict, Connection
from homeserver.storage.database import Job, StoreUnavailable
from homeserver.storage.schema import migrate

_T = TypeVar("_T")

MAX_GROUP = 256  # jobs in one commit; bounds how long the first of them waits

# How often a group that others are in the way of is tried; then each job alone.
_ATTEMPTS = 3


Measure = Callable[[int], AbstractContextManager[object]]


class ThreadedDatabase:
    """A `Database`, with a thread that writes and a thread that reads."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        reactor: IReactorFromThreads,
        measure: Measure = nullcontext,
    ) -> None:
        """Connect, and bring the schema up to date; raises `StoreUnavailable`.

        `measure` is given the number of jobs of each group that is written, and
        surrounds it, in the thread that writes.
        """
        writer = connect()
        try:
            migrate(writer)
            reader = connect()
        except BaseException:
            writer.close()
            raise
        self._writer = _Worker("writer", writer, partial(_measured, measure), reactor)
        self._reader = _Worker("reader", reader, _read, reactor)

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
class _Call:
    """A job, and where its result goes."""

    job: Job[Any]
    result: Deferred[Any]


_Outcome = tuple[_Call, Any]
"""A call and its result, or a `Failure`."""


class _Worker:
    """A thread with a connection of its own and a queue of calls."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        run: Callable[[Connection, list[_Call]], list[_Outcome]],
        reactor: IReactorFromThreads,
    ) -> None:
        self.connection = connection
        self._run = run
        self._reactor = reactor
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._ended: Deferred[None] = Deferred()
        self._thread = Thread(target=self._work, name=f"store-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def call(self, job: Job[_T]) -> _T:
        call = _Call(job, Deferred())
        self._calls.put(call)
        result: _T = await call.result
        return result

    async def stop(self) -> None:
        self._calls.put(None)
        await self._ended
        self._thread.join()

    def _work(self) -> None:
        while (first := self._calls.get()) is not None:
            group = [first]
            is_last = False
            while len(group) < MAX_GROUP and not self._calls.empty():
                call = self._calls.get()
                if call is None:
                    is_last = True
                    break
                group.append(call)
            outcomes = self._run(self.connection, group)
            self._reactor.callFromThread(_deliver, outcomes)
            if is_last:
                break
        self.connection.close()
        self._reactor.callFromThread(self._ended.callback, None)


def _deliver(outcomes: list[_Outcome]) -> None:
    for call, outcome in outcomes:
        # Who asked may have given up meanwhile; then nobody wants the result.
        if not call.result.called:
            call.result.callback(outcome)  # a Failure becomes an errback


def _measured(
    measure: Measure, connection: Connection, group: list[_Call]
) -> list[_Outcome]:
    with measure(len(group)):
        return _write(connection, group)


def _write(connection: Connection, group: list[_Call]) -> list[_Outcome]:
    """Run jobs, and commit them together; each alone if others are in the way."""
    try:
        return _insist(partial(_commit, connection, group))
    except StoreUnavailable:
        if len(group) > 1:
            return [outcome for call in group for outcome in _write(connection, [call])]
        return [(call, Failure()) for call in group]


def _commit(connection: Connection, group: list[_Call]) -> list[_Outcome]:
    """Run jobs in one transaction; raises `Conflict`, and then nothing is written."""
    outcomes = []
    try:
        connection.begin()
        cursor = connection.cursor()
        for call in group:
            cursor.execute("SAVEPOINT job")
            outcome = _run(connection, call)
            if isinstance(outcome[1], Failure):
                if not connection.is_in_transaction:
                    # SQLite itself undoes all where the disk is full or fails.
                    return [(each, outcome[1]) for each in group]
                cursor.execute("ROLLBACK TO job")
            cursor.execute("RELEASE job")
            outcomes.append(outcome)
        connection.commit()
    except Conflict:
        connection.rollback()
        raise
    except Exception:  # noqa: BLE001 - it is raised again where the jobs were called
        failure = Failure()
        connection.rollback()
        return [(call, failure) for call in group]
    return outcomes


def _read(connection: Connection, group: list[_Call]) -> list[_Outcome]:
    """Run jobs one by one; nothing of what they read is held."""
    return [_look(connection, call) for call in group]


def _look(connection: Connection, call: _Call) -> _Outcome:
    try:
        return _insist(partial(_run, connection, call))
    except StoreUnavailable:
        return call, Failure()


def _insist(run: Callable[[], _T]) -> _T:
    """Run what others may be in the way of; raises `StoreUnavailable` if they stay."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Conflict):
            return run()
    try:
        return run()
    except Conflict as conflict:
        raise StoreUnavailable(f"others are in the way: {conflict}") from None


def _run(connection: Connection, call: _Call) -> _Outcome:
    try:
        return call, call.job(connection.cursor())
    except Conflict:
        raise
    except Exception:  # noqa: BLE001 - it is raised again where the job was called
        return call, Failure()
