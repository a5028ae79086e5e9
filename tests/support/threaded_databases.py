"""Databases with threads, of both engines, and what is asked of them in tests."""

import contextlib
import queue
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine import choose
from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Cursor, Job
from homeserver.storage.engine.threaded import ThreadedDatabase
from tests.support.eventually import HANGING_SECONDS
from tests.support.our_names import OUR_NAME

T = TypeVar("T")


Call = Coroutine[Deferred[Any], Any, T]


@implementer(IReactorFromThreads)
class Calls:
    """A reactor that makes the threads' calls when the test says so."""

    def __init__(self, clock: Clock) -> None:
        """`clock` is the rest of the reactor, for which no time passes."""
        self._clock = clock
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def callFromThread(
        self,
        callable: Callable[..., Any],  # noqa: A002 - as the interface has it
        *args: object,
        **kwargs: object,
    ) -> None:
        """As `IReactorFromThreads`."""
        self._calls.put(lambda: callable(*args, **kwargs))

    def run_until(self, done: Deferred[T]) -> T:
        """Make calls until `done` has fired; return or raise its result."""
        results: list[T | Failure] = []
        done.addBoth(results.append)
        self._clock.advance(0)
        while not results:
            self._calls.get(timeout=HANGING_SECONDS)()
            self._clock.advance(0)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def run_for(self, seconds: float) -> None:
        """Make calls as long as one comes within so many seconds."""
        self._clock.advance(0)
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get(timeout=seconds)()
                self._clock.advance(0)


class Store:
    """A database whose threads start when something is waited for.

    So what was begun before waits in the queue, and makes one group.
    """

    def __init__(
        self,
        url: str,
        engine: Engine | None = None,
        clock: Clock | None = None,
        owner: ServerName = OUR_NAME,
    ) -> None:
        """`engine` is that of `url` unless it is given, with the `clock` it has.

        The rows of a store of before belong to `owner`.
        """
        self.url = url
        self.clock = clock or Clock()
        self.engine = engine or self.engine_of(url)
        self._calls = Calls(self.clock)
        self._has_started = False
        self.database = ThreadedDatabase(self.engine, self._calls, self.clock, owner)
        self.events: list[str] = []
        """Each `COMMIT` of the writer, and what jobs say of themselves."""

        commit = self.writer.commit

        def told_commit() -> None:
            commit()
            self.events.append("COMMIT")

        self.writer.commit = told_commit  # type: ignore[method-assign]

    @staticmethod
    def engine_of(url: str) -> Engine:
        """The engine of a store; its time is not asked for."""
        return choose.choose(url, Path(), Clock())

    @property
    def writer(self) -> Connection:
        """The writer's connection; not to be used once the threads have started."""
        connection = self.database._writer.connection
        assert connection is not None
        return connection

    def other(self) -> Connection:
        """Another connection to the same store, as another process has it."""
        return self.engine.connect()

    def begin(self, call: Call[T]) -> Deferred[T]:
        """Call without waiting."""
        return Deferred.fromCoroutine(call)

    def begin_write(self, job: Job[T]) -> Deferred[T]:
        """Write without waiting."""
        return self.begin(self.database.write(job))

    def write(self, job: Job[T]) -> T:
        """Write, and wait."""
        return self.wait(self.begin(self.database.write(job)))

    def read(self, job: Job[T]) -> T:
        """Read, and wait."""
        return self.wait(self.begin(self.database.read(job)))

    def wait(self, done: Deferred[T]) -> T:
        """What `done` fires with."""
        self.start()
        return self._calls.run_until(done)

    def pass_time(self, seconds: float) -> None:
        """Give the thread what waits for it, and let so many seconds pass."""
        self.start()
        self.clock.advance(seconds)

    def pump(self) -> None:
        """Make what calls of the threads there are, or wait a moment for one."""
        self._calls.run_for(0.05)

    def wait_until_back(self) -> None:
        """Wait until the store has found by itself that it works."""
        self.wait_for(lambda: self.database.problem is None)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Make calls until something is so."""
        deadline = time.monotonic() + HANGING_SECONDS
        while not is_so():
            assert time.monotonic() < deadline
            self.pump()

    def start(self) -> None:
        """Start the threads, if they have not started yet, and give them what waits."""
        if not self._has_started:
            self._has_started = True
            self.database.start()
        self.clock.advance(0)

    def close(self) -> None:
        """Close, and wait."""
        self.wait(self.begin(self.database.close()))


def insert(room_id: str) -> Job[str]:
    """A job that writes one row."""

    def job(cursor: Cursor) -> str:
        cursor.execute(
            "INSERT INTO rooms (server_name, room_id, room_version)"
            " VALUES ('us', ?, '1')",
            (room_id,),
        )
        return room_id

    return job


def insert_and_fail(room_id: str) -> Job[str]:
    """A job that writes one row, and then fails."""

    def job(cursor: Cursor) -> str:
        insert(room_id)(cursor)
        raise KeyError(room_id)

    return job


def rooms(cursor: Cursor) -> list[str]:
    """The rows that were written."""
    rows = cursor.execute("SELECT room_id FROM rooms ORDER BY room_id").fetchall()
    return [room_id for [room_id] in rows]
