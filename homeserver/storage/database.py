"""The store: jobs run on SQLite by a writer thread, which commits them in groups.

Rules of the room: a write is done when its Deferred fires, and then it is on the
disk. Whatever waits when the writer is free is committed together, so that an answer
after the commit costs no commit of its own. A job is plain statements over a cursor;
it runs in a thread, so it touches nothing but its arguments. Its SQL stays with what
other engines speak too, as far as it can.
"""

import contextlib
import queue
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

_T = TypeVar("_T")

MAX_GROUP = 256  # jobs in one commit; bounds how long the first of them waits


class StoreUnavailable(Exception):
    """The store could not do it: full disk, lock, damage. Nothing was written."""


class StoreTooNew(Exception):
    """The store was written by a later version of this program."""


class Cursor(Protocol):
    """What a job needs of a DB-API cursor."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> "Cursor":
        """Run one statement."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


Job = Callable[[Cursor], _T]


class Database(Protocol):
    """What the stores need of a database."""

    async def write(self, job: Job[_T]) -> _T:
        """Run `job` in a transaction; return its result once it is committed.

        Raises `StoreUnavailable`, and whatever `job` raises.
        """
        ...

    async def read(self, job: Job[_T]) -> _T:
        """Run `job`, which writes nothing, over what is committed; as `write`."""
        ...


class SqliteDatabase:
    """A database in one file, with a thread that writes and a thread that reads."""

    def __init__(self, path: Path, reactor: IReactorFromThreads) -> None:
        self._writer = _Worker("writer", _open(path), _run_group, reactor)
        try:
            migrate(self._writer.connection)
        except BaseException:
            self._writer.connection.close()
            raise
        self._reader = _Worker("reader", _open(path), _run_each, reactor)

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
        """Finish what was begun, close the file and end the threads."""
        await self._writer.stop()
        await self._reader.stop()


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, in one transaction.

    Raises `StoreTooNew`, and `StoreUnavailable` where the file cannot be used.
    """
    folder = resources.files("homeserver.storage") / "migrations"
    scripts = sorted(
        (int(script.name.partition("_")[0]), script.read_text("utf-8"))
        for script in folder.iterdir()
        if script.name.endswith(".sql")
    )
    newest = scripts[-1][0]
    try:
        connection.execute("BEGIN IMMEDIATE")
        [[version]] = connection.execute("PRAGMA user_version").fetchall()
        if version > newest:
            raise StoreTooNew(
                f"the store has version {version}, this program knows up to {newest}; "
                "run the program that wrote it, or a newer one"
            )
        for number, script in scripts:
            if number > version:
                for statement in _statements(script):
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store cannot be used: {error}") from None


def _statements(script: str) -> list[str]:
    """The statements of a script in which each ends a line with its semicolon."""
    statements: list[str] = []
    begun = ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements


def _open(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as stack:
        try:
            # Each connection is used by one thread, not by the one that opens it.
            # Ten seconds for who has locked it: a commit takes milliseconds.
            connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=10
            )
            stack.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk when it returns, power cut or not.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path} cannot be used: {error}") from None
        stack.pop_all()
    return connection


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
        connection: sqlite3.Connection,
        run: Callable[[sqlite3.Connection, list[_Call]], list[_Outcome]],
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


def _run_group(connection: sqlite3.Connection, group: list[_Call]) -> list[_Outcome]:
    """Run jobs in one transaction; one that fails undoes itself alone."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = []
        for call in group:
            connection.execute("SAVEPOINT job")
            outcome = _run_one(connection, call)
            if isinstance(outcome[1], Failure):
                if not connection.in_transaction:
                    # SQLite itself undoes all where the disk is full or fails.
                    return [(each, outcome[1]) for each in group]
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            outcomes.append(outcome)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):  # it may have undone itself already
            connection.execute("ROLLBACK")
        failure = Failure(StoreUnavailable(f"the store cannot be written: {error}"))
        return [(call, failure) for call in group]
    return outcomes


def _run_each(connection: sqlite3.Connection, group: list[_Call]) -> list[_Outcome]:
    return [_run_one(connection, call) for call in group]


def _run_one(connection: sqlite3.Connection, call: _Call) -> _Outcome:
    try:
        return call, call.job(connection.cursor())
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
        return call, Failure()  # a mistake of the job's own
    except sqlite3.Error as error:
        return call, Failure(StoreUnavailable(f"the store cannot be used: {error}"))
    except Exception:  # noqa: BLE001 - it is raised again where the job was called
        return call, Failure()
