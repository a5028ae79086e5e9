"""The store with its threads: what is committed together, and what fails alone."""

import queue
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, current_thread
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.storage.database import (
    Cursor,
    Job,
    StoreTooNew,
    StoreUnavailable,
)
from homeserver.storage.engines import open_database
from homeserver.storage.schema import migrate
from homeserver.storage.sqlite import SqliteConnection
from homeserver.storage.threads import MAX_GROUP

_T = TypeVar("_T")

_LIMIT = 20.0  # seconds for a thread to do what takes milliseconds

Call = Coroutine[Deferred[Any], Any, _T]


@implementer(IReactorFromThreads)
class Calls:
    """A reactor that makes the threads' calls when the test says so."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def callFromThread(
        self,
        callable: Callable[..., Any],  # noqa: A002 - as the interface has it
        *args: object,
        **kwargs: object,
    ) -> None:
        """As `IReactorFromThreads`."""
        self._calls.put(lambda: callable(*args, **kwargs))

    def run_until(self, done: Deferred[_T]) -> _T:
        """Make calls until `done` has fired; return or raise its result."""
        results: list[_T | Failure] = []
        done.addBoth(results.append)
        while not results:
            self._calls.get(timeout=_LIMIT)()
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


class Store:
    """A database whose threads start when something is waited for.

    So what was begun before waits in the queue, and makes one group.
    """

    def __init__(self, path: Path) -> None:
        self._calls = Calls()
        self._has_started = False
        self.database = open_database(f"sqlite:{path}", path.parent, self._calls)
        self.statements: list[str] = []
        """What the writer did."""

        self.execute("PRAGMA busy_timeout = 0")
        self._writer.set_trace_callback(self.statements.append)

    def execute(self, statement: str) -> None:
        """Change a setting of the writer's connection, before it has started."""
        self._writer.execute(statement)

    @property
    def _writer(self) -> sqlite3.Connection:
        connection = self.database._writer.connection
        assert isinstance(connection, SqliteConnection)
        return connection.connection

    def begin(self, call: Call[_T]) -> Deferred[_T]:
        """Call without waiting."""
        return Deferred.fromCoroutine(call)

    def write(self, job: Job[_T]) -> _T:
        """Write, and wait."""
        return self.wait(self.begin(self.database.write(job)))

    def read(self, job: Job[_T]) -> _T:
        """Read, and wait."""
        return self.wait(self.begin(self.database.read(job)))

    def wait(self, done: Deferred[_T]) -> _T:
        """What `done` fires with."""
        if not self._has_started:
            self._has_started = True
            self.database.start()
        return self._calls.run_until(done)

    def close(self) -> None:
        """Close, and wait."""
        self.wait(self.begin(self.database.close()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "homeserver.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A database that is closed in the end."""
    store = Store(path)
    yield store
    store.close()


def insert(room_id: str) -> Job[str]:
    """A job that writes one row."""

    def job(cursor: Cursor) -> str:
        cursor.execute("INSERT INTO rooms VALUES (?, '1')", (room_id,))
        return room_id

    return job


def insert_and_fail(room_id: str) -> Job[str]:
    """A job that writes one row, and then fails."""

    def job(cursor: Cursor) -> str:
        insert(room_id)(cursor)
        raise KeyError(room_id)

    return job


def rooms(cursor: Cursor) -> list[str]:
    """The rows that were written, in their order."""
    rows = cursor.execute("SELECT room_id FROM rooms ORDER BY rowid").fetchall()
    return [room_id for [room_id] in rows]


def on_disk(path: Path) -> list[str]:
    """The rows that another process sees."""
    with closing(sqlite3.connect(path)) as connection:
        return rooms(connection.cursor())


def test_write_and_read(store: Store) -> None:
    """A write returns what its job returns, and is read afterwards."""
    assert store.write(insert("a")) == "a"
    assert store.read(rooms) == ["a"]


def test_a_write_that_is_done_is_committed(store: Store, path: Path) -> None:
    """When the Deferred of a write fires, other processes see what was written."""
    done = store.begin(store.database.write(insert("a")))
    seen = store.wait(done.addCallback(lambda _: on_disk(path)))
    assert seen == ["a"]


def test_writes_that_wait_are_one_commit(store: Store) -> None:
    """Jobs that wait when the writer is free are committed together, in order."""
    names = [str(number) for number in range(10)]
    done = [store.begin(store.database.write(insert(name))) for name in names]
    assert store.wait(gatherResults(done)) == names
    assert store.read(rooms) == names
    assert store.statements.count("COMMIT") == 1


def test_a_commit_is_bounded(store: Store) -> None:
    """No more than so many jobs are committed together."""
    names = [str(number) for number in range(MAX_GROUP + 1)]
    done = [store.begin(store.database.write(insert(name))) for name in names]
    assert store.wait(gatherResults(done)) == names
    assert store.statements.count("COMMIT") == 2
    first = store.statements[: store.statements.index("COMMIT")]
    assert sum(s.startswith("INSERT") for s in first) == MAX_GROUP


def test_a_later_write_is_another_commit(store: Store) -> None:
    """Who waits for a write before the next one gets a commit for each."""
    store.write(insert("a"))
    store.write(insert("b"))
    assert store.statements.count("COMMIT") == 2


def test_a_job_that_fails_undoes_itself_alone(store: Store) -> None:
    """What a job wrote before it failed is undone; the others are committed."""
    jobs = [insert("a"), insert_and_fail("b"), insert("c")]
    first, failing, last = [store.begin(store.database.write(job)) for job in jobs]
    assert store.wait(first) == "a"
    assert store.wait(last) == "c"
    with pytest.raises(KeyError, match="b"):
        store.wait(failing)
    assert store.read(rooms) == ["a", "c"]
    assert store.statements.count("COMMIT") == 1


# (statement, its parameters, what is raised)
MISTAKES: list[tuple[str, tuple[object, ...], type[Exception]]] = [
    ("INSERT INTO rooms VALUES ('a', '1')", (), sqlite3.IntegrityError),
    ("INSERT INTO rooms VALUES (?, NULL)", ("b",), sqlite3.IntegrityError),
    ("INSERT INTO rooms VALUES (?, '1')", (), sqlite3.ProgrammingError),
    ("INSERT INTO rooms VALUES (?, '1')", (2**64,), OverflowError),
    ("INSERT INTO rooms VALUES (zeroblob(2000000000), '1')", (), sqlite3.DataError),
]


@pytest.mark.parametrize(("statement", "parameters", "error"), MISTAKES)
def test_a_mistake_is_not_the_store_s_fault(
    store: Store,
    statement: str,
    parameters: tuple[object, ...],
    error: type[Exception],
) -> None:
    """A job that cannot be done gets that error, and undoes itself alone."""

    def job(cursor: Cursor) -> str:
        insert("c")(cursor)
        cursor.execute(statement, parameters)
        return "done"

    jobs = [insert("a"), job, insert("d")]
    first, failing, last = [store.begin(store.database.write(job)) for job in jobs]
    assert (store.wait(first), store.wait(last)) == ("a", "d")
    with pytest.raises(error):
        store.wait(failing)
    assert store.read(rooms) == ["a", "d"]


def orphan(cursor: Cursor) -> None:
    """A job that writes a PDU of no transaction."""
    cursor.execute(
        "INSERT INTO received_pdus (transaction_id, position, verdict, event)"
        " VALUES (1, 0, '', '')"
    )


def test_references_are_checked(store: Store) -> None:
    """A row that refers to none is refused."""
    with pytest.raises(sqlite3.IntegrityError):
        store.write(orphan)


def test_a_read_that_fails(store: Store) -> None:
    """A read gets the error of its own job, and no other read gets it."""

    def fail(cursor: Cursor) -> None:
        raise KeyError("b")

    failing = store.begin(store.database.read(fail))
    other = store.begin(store.database.read(rooms))
    with pytest.raises(KeyError, match="b"):
        store.wait(failing)
    assert store.wait(other) == []


def test_a_read_sees_what_is_committed(store: Store) -> None:
    """A read does not wait for a write that is under way, and sees nothing of it."""
    is_written, may_end = Event(), Event()

    def job(cursor: Cursor) -> None:
        insert("a")(cursor)
        is_written.set()
        assert may_end.wait(_LIMIT)

    writing = store.begin(store.database.write(job))
    assert store.read(lambda _: is_written.wait(_LIMIT))
    assert store.read(rooms) == []
    may_end.set()
    store.wait(writing)
    assert store.read(rooms) == ["a"]


def test_jobs_run_in_threads(store: Store) -> None:
    """No job runs in the thread that called, and reads do not run with writes."""
    writer = store.write(lambda _: current_thread())
    reader = store.read(lambda _: current_thread())
    assert len({writer, reader, current_thread()}) == 3


SETTINGS: list[tuple[str, object]] = [
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL
    ("foreign_keys", 1),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_setting(store: Store, name: str, value: object) -> None:
    """A commit is on the disk when it returns, and readers do not wait for it."""

    def job(cursor: Cursor) -> object:
        [found] = cursor.execute(f"PRAGMA {name}").fetchone()
        return found

    assert (store.write(job), store.read(job)) == (value, value)


def test_who_gave_up_is_not_told(store: Store) -> None:
    """A write whose caller was cancelled meanwhile is done, and so are the others."""
    cancelled = store.begin(store.database.write(insert("a")))
    cancelled.addErrback(lambda _: None)
    other = store.begin(store.database.write(insert("b")))
    cancelled.cancel()
    assert store.wait(other) == "b"
    assert store.read(rooms) == ["a", "b"]


def test_a_locked_store(store: Store, path: Path) -> None:
    """A store that another process has locked is not available, until it is again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = [store.begin(store.database.write(insert(name))) for name in "ab"]
        for each in done:
            with pytest.raises(StoreUnavailable, match="database is locked"):
                store.wait(each)
    assert store.write(insert("c")) == "c"
    assert store.read(rooms) == ["c"]


def test_a_read_only_store(store: Store) -> None:
    """A store that cannot be written is not available, and can still be read."""
    store.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="readonly database"):
        store.write(insert("a"))
    assert store.read(rooms) == []


def test_a_full_disk(store: Store) -> None:
    """What does not fit may undo the whole group; all are told why, and it goes on."""
    store.execute("PRAGMA max_page_count = 60")
    names = ["a", "x" * 1_000_000, "b"]
    for each in [store.begin(store.database.write(insert(name))) for name in names]:
        with pytest.raises(StoreUnavailable, match="database or disk is full"):
            store.wait(each)
    assert store.read(rooms) == []
    assert store.write(insert("c")) == "c"
    assert store.read(rooms) == ["c"]


def test_a_commit_that_fails(store: Store) -> None:
    """Nothing of a group is written where its commit fails, and all are told so."""

    def job(cursor: Cursor) -> None:
        cursor.execute("PRAGMA defer_foreign_keys = ON")  # checked by the commit
        orphan(cursor)

    done: list[Deferred[Any]] = [
        store.begin(store.database.write(insert("a"))),
        store.begin(store.database.write(job)),
    ]
    for each in done:
        with pytest.raises(sqlite3.IntegrityError):
            store.wait(each)
    assert store.read(rooms) == []
    assert store.write(insert("b")) == "b"


def test_a_damaged_store(path: Path) -> None:
    """A store whose file is damaged is not available to those who meet the damage."""
    store = Store(path)
    store.write(insert("x" * 100_000))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        [[size]] = connection.execute("PRAGMA page_size").fetchall()
        # Where the rows are; the schema is elsewhere.
        [[page]] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'rooms'"
        ).fetchall()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    path.write_bytes(content)
    store = Store(path)
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.read(rooms)
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.write(insert("a"))
    store.close()


def test_close_finishes_what_was_begun(path: Path) -> None:
    """What was asked for before the store closes is done, and told."""
    store = Store(path)
    written = [store.begin(store.database.write(insert(name))) for name in "abc"]
    seen = store.begin(store.database.read(lambda _: "seen"))
    store.close()
    assert store.wait(gatherResults(written)) == ["a", "b", "c"]
    assert store.wait(seen) == "seen"
    assert on_disk(path) == ["a", "b", "c"]


def test_close_finishes_more_than_one_group(path: Path) -> None:
    """That is so for more than fits into one commit, too."""
    store = Store(path)
    names = [str(number) for number in range(MAX_GROUP * 2)]
    for name in names:
        store.begin(store.database.write(insert(name)))
    store.close()
    assert on_disk(path) == names


def test_close_ends_the_threads(path: Path) -> None:
    """A store that is closed has no threads, and no lock on its file."""
    store = Store(path)
    threads = [
        store.write(lambda _: current_thread()),
        store.read(lambda _: current_thread()),
    ]
    store.close()
    assert not any(thread.is_alive() for thread in threads)
    assert [each.name for each in path.parent.iterdir()] == ["homeserver.db"]


def test_reopen(path: Path) -> None:
    """What was written is there when the store is opened again."""
    store = Store(path)
    store.write(insert("a"))
    store.close()
    store = Store(path)
    assert store.read(rooms) == ["a"]
    store.close()


def set_version(path: Path, version: int) -> None:
    """Make a store one that another version of the program wrote."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_a_store_that_is_too_new(path: Path) -> None:
    """A store of a later version is refused, left as it is, and not kept locked."""
    Store(path).close()
    set_version(path, 1000)
    with pytest.raises(StoreTooNew, match="version 1000, this program knows up to 5;"):
        Store(path)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert connection.execute("PRAGMA user_version").fetchall() == [(1000,)]


def test_an_old_store_is_migrated(path: Path) -> None:
    """Only the scripts that a store has not seen are run, and it remembers them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    Store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA user_version").fetchall() == [(5,)]
        connection.execute("DROP TABLE rooms")
        migrate(SqliteConnection(connection, "a store"))
        tables = {n for [n] in connection.execute("SELECT name FROM sqlite_schema")}
    assert "mine" in tables
    assert "rooms" not in tables


def test_a_migration_that_fails(path: Path) -> None:
    """A script that fails leaves nothing of itself."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rooms (a)")
    with pytest.raises(StoreUnavailable, match="table rooms already exists"):
        Store(path)
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
        assert tables == [("rooms",)]
        assert connection.execute("PRAGMA user_version").fetchall() == [(0,)]


def test_a_store_that_is_locked_from_the_start(path: Path) -> None:
    """A store that cannot be migrated is not available."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as own,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            migrate(SqliteConnection(own, "a store"))


def test_no_database(path: Path) -> None:
    """A file that is no database is refused, and left as it is."""
    path.write_text("precious" * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Store(path)
    assert path.read_text() == "precious" * 1000


def test_no_folder(path: Path) -> None:
    """A store in a folder that is not there is refused with its path."""
    with pytest.raises(StoreUnavailable, match=r"no/homeserver\.db cannot be used: "):
        Store(path.parent / "no" / "homeserver.db")
