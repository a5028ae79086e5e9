"""What is done at once: by whom, when it is told, and what it leaves to the threads."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from errno import EIO, EMFILE
from pathlib import Path
from threading import Event, current_thread, get_ident
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from homeserver.storage.engine import sqlite
from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Cursor, Job, Short, StoreUnavailable
from homeserver.storage.engine.shortcut import Shortcut
from homeserver.storage.engine.sqlite import SqliteConnection, SqliteFile
from homeserver.storage.engine.thread import CALL_SECONDS, MAX_GROUP
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import Server
from tests.support.received_stores import A, transaction
from tests.support.threaded_databases import (
    LIMIT,
    Store,
    T,
    insert,
    insert_and_fail,
    rooms,
)


class ShortcutStore(Store):
    """A store in a file, whose thread commits when the test lets it."""

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path = path
        self.may_sync = Event()
        self.may_sync.set()
        self.synced_by: list[int] = []
        self.touched_by: list[int] = []
        self.failure: Exception | None = None
        clock = Clock()
        file = SqliteFile(path)
        self.connect: Callable[[], Connection] = file.connect
        engine = Engine(
            lambda: self.connect(),  # noqa: PLW0108 - a test may have set another
            lambda _: 0,
            is_shared=is_shared,
            connect_for_shortcut=file.connect_for_shortcut,
        )
        super().__init__(f"sqlite:{path}", engine, clock)
        by = {
            "commit": self.synced_by,
            "sync": self.synced_by,
            "touch": self.touched_by,
        }
        for name, those in by.items():
            syncing = self._when_allowed(getattr(self.writer, name), those)
            setattr(self.writer, name, syncing)

    def _when_allowed(
        self, sync: Callable[[], None], by: list[int]
    ) -> Callable[[], None]:
        def sync_when_allowed() -> None:
            assert self.may_sync.wait(LIMIT)
            by.append(get_ident())
            if self.failure is not None:
                raise self.failure
            sync()

        return sync_when_allowed

    def begin_short(self, job: Job[T]) -> Deferred[T]:
        """Write something short without waiting."""
        return self.begin_write(Short(job))

    def seen_by_others(self) -> list[str]:
        """The rows that another process sees."""
        with closing(sqlite3.connect(self.path)) as other:
            rows = other.execute("SELECT room_id FROM rooms ORDER BY room_id")
            return [room_id for [room_id] in rows]


@pytest.fixture
def store(path: Path) -> Iterator[ShortcutStore]:
    """A database that is closed in the end."""
    store = ShortcutStore(path)
    yield store
    store.may_sync.set()
    store.close()


def here(_: Cursor) -> bool:
    """A job that says whether it runs in the thread of the test."""
    return get_ident() == MAIN


MAIN = get_ident()


def test_what_is_short_is_done_in_the_reactor_s_thread(store: ShortcutStore) -> None:
    """Reads and writes are, if all that is written together is short."""
    assert store.write(Short(here))
    assert store.read(Short(here))
    assert not store.write(here)
    assert not store.read(here)
    mixed = [store.begin_short(here), store.begin_write(here)]
    assert store.wait(gatherResults(mixed)) == [False, False]


SETTINGS: list[tuple[str, object]] = [
    ("journal_mode", "wal"),
    ("synchronous", 1),  # NORMAL: the thread syncs the log
    ("foreign_keys", 1),
    ("busy_timeout", 0),
    ("wal_autocheckpoint", 0),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_setting(store: ShortcutStore, name: str, value: object) -> None:
    """Nothing is waited for where short things are done."""

    def job(cursor: Cursor) -> object:
        [found] = cursor.execute(f"PRAGMA {name}").fetchone()
        return found

    assert store.read(Short(job)) == value


def test_not_where_the_store_is_elsewhere(postgres: Server) -> None:
    """A server is waited for by threads alone."""
    store = Store(postgres.new_store())
    threads = [store.write(Short(lambda _: current_thread()))]
    threads.append(store.read(Short(lambda _: current_thread())))
    assert current_thread() not in threads
    store.close()


def test_a_write_is_told_when_it_is_on_the_disk(store: ShortcutStore) -> None:
    """Not before the thread has committed; the reactor's thread does not wait."""
    store.may_sync.clear()
    written = store.begin_short(insert("a"))
    store.start()
    assert store.seen_by_others() == ["a"]
    store.pump()
    assert not written.called
    store.may_sync.set()
    assert store.wait(written) == "a"
    [by] = store.synced_by
    assert by != MAIN


def test_what_comes_while_the_disk_works_is_one_sync(store: ShortcutStore) -> None:
    """Jobs that wait are committed together, up to a number."""
    store.may_sync.clear()
    first = store.begin_short(insert("first"))
    store.start()
    names = [f"{number:03}" for number in range(MAX_GROUP + 1)]
    others = [store.begin_short(insert(name)) for name in names]
    store.pump()
    assert store.seen_by_others() == ["first"]
    store.may_sync.set()
    store.wait(gatherResults([first, *others]))
    assert len(store.synced_by) == 3
    assert store.seen_by_others() == [*names, "first"]


def test_a_turn_ends(store: ShortcutStore) -> None:
    """Jobs that take long wait for each other, so that others have their turn."""

    def take(seconds: float) -> Job[bool]:
        def job(_: Cursor) -> bool:
            store.clock.rightNow += seconds
            return get_ident() == MAIN

        return job

    jobs = [0.0015, 0.0015, 0.0015, 1.0, 0.0]
    taken = [store.begin_short(take(seconds)) for seconds in jobs]
    assert store.wait(gatherResults(taken)) == [True] * 5
    assert len(store.synced_by) == 3  # two, two and one


def test_what_was_read_is_settled(store: ShortcutStore) -> None:
    """Who wants it on the disk waits for the sync, if there is one to wait for."""
    store.may_sync.clear()
    written = store.begin_short(insert("a"))
    store.start()
    assert store.read(rooms) == ["a"]
    settled = store.begin(store.database.settle())
    store.pump()
    assert not settled.called
    store.may_sync.set()
    store.wait(gatherResults([written.addCallback(lambda _: None), settled]))
    syncs = len(store.synced_by)
    store.wait(store.begin(store.database.settle()))
    assert len(store.synced_by) == syncs


def test_what_another_process_may_have_written_is_settled(path: Path) -> None:
    """A commit syncs also what this process knows nothing of."""
    with closing(ShortcutStore(path, is_shared=True)) as store:
        store.start()
        syncs = len(store.synced_by)
        store.wait(store.begin(store.database.settle()))
        assert len(store.synced_by) == syncs + 1


def test_what_is_told_of_transactions_is_on_the_disk(store: ShortcutStore) -> None:
    """Who repeats one that hangs is not told what may still be lost; nobody is."""
    received = ReceivedStore(store.database, OUR_NAME, Changes(store.clock))
    first = transaction(A, "first")
    store.wait(store.begin(received.record(first)))
    store.may_sync.clear()
    recorded = store.begin(received.record(transaction(A, "t")))
    store.pass_time(CALL_SECONDS)
    unavailable: list[Deferred[Any]] = [
        recorded,
        store.begin(received.reply_to(A, "t")),
        store.begin(received.after(1, None, 100, 0.0)),
    ]
    for failing in unavailable:
        with pytest.raises(StoreUnavailable, match="has not answered"):
            store.wait(failing)
    assert store.wait(store.begin(received.reply_to(A, "other"))) is None
    assert not store.wait(store.begin(received.after(2, None, 100, 0.0)))
    store.may_sync.set()
    store.wait_until_back()
    assert (
        store.wait(store.begin(received.reply_to(A, "t"))) == b"reply to t of a.example"
    )
    assert len(store.wait(store.begin(received.after(0, None, 100, 0.0)))) == 2


def test_a_commit_of_the_thread_that_fails(store: ShortcutStore) -> None:
    """The result is reported as unavailable; the next commit syncs the row."""
    store.write(Short(insert("a")))
    store.failure = StoreUnavailable("the disk is full")
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        store.write(Short(insert("b")))
    store.failure = None
    store.wait_until_back()
    assert store.write(Short(insert("c"))) == "c"
    assert store.read(Short(rooms)) == ["a", "b", "c"]


def test_a_sync_that_fails(store: ShortcutStore, path: Path) -> None:
    """The log is not trusted by this process again; after a restart it is."""
    store.write(Short(insert("a")))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert isinstance(store.writer, SqliteConnection)
    store.failure = store.writer._explain(error)
    for _ in range(2):
        for job in (insert("b"), Short(insert("b"))):
            with pytest.raises(StoreUnavailable, match="start this server again"):
                store.write(job)
        with pytest.raises(StoreUnavailable, match="start this server again"):
            store.read(Short(rooms))
    store.close()
    again = ShortcutStore(path)
    assert again.read(rooms) == ["a"]
    again.close()


def test_what_fails_is_tried_by_the_thread(store: ShortcutStore) -> None:
    """A job that fails undoes itself alone, and is told its error."""
    first, failing = [
        store.begin_short(job) for job in (insert("a"), insert_and_fail("b"))
    ]
    assert store.wait(first) == "a"
    with pytest.raises(KeyError, match="b"):
        store.wait(failing)
    assert store.read(Short(rooms)) == ["a"]
    with pytest.raises(KeyError, match="c"):
        store.read(Short(failing_look))


def failing_look(_: Cursor) -> None:
    """A job that writes nothing, and fails."""
    raise KeyError("c")


def test_a_lock_is_waited_for_by_the_thread(store: ShortcutStore, path: Path) -> None:
    """What another process has locked meanwhile is written when it has done."""
    store.write(Short(insert("a")))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        written = store.begin_short(insert("b"))
        store.start()  # which would take five seconds, and fail
        store.pump()
        assert not written.called
        assert store.read(Short(rooms)) == ["a"]
        other.execute("COMMIT")
    assert store.wait(written) == "b"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_file_that_is_moved(store: ShortcutStore, path: Path, when: str) -> None:
    """What is not the file any more is not written, and no write is told."""
    store.write(Short(insert("a")))
    store.read(Short(rooms))
    away = path.with_name("away.db")

    def job(cursor: Cursor) -> None:
        insert("b")(cursor)
        if path.exists():
            path.rename(away)

    if when == "before":
        path.rename(away)
    with pytest.raises(StoreUnavailable, match="is not the file any more"):
        store.write(Short(job))
    with pytest.raises(StoreUnavailable, match="is not the file any more"):
        store.read(Short(rooms))
    away.rename(path)
    store.wait_until_back()
    assert store.write(Short(insert("c"))) == "c"
    assert store.read(Short(rooms)) in (["a", "c"], ["a", "b", "c"])


def test_what_nobody_could_settle_is_not_done(store: ShortcutStore) -> None:
    """Without a connection of the thread, who waits for it already is told so."""
    may_fail = Event()

    def fail() -> Connection:
        assert may_fail.wait(LIMIT)
        raise StoreUnavailable("no more files")

    store.write(Short(insert("a")))
    connect, store.connect = store.connect, fail
    connection = store.database._writer.connection
    assert isinstance(connection, SqliteConnection)
    connection.is_lost = True
    unavailable = [store.begin_write(insert("b"))]
    store.start()
    unavailable.append(store.begin_short(insert("c")))
    may_fail.set()
    for failing in unavailable:
        with pytest.raises(StoreUnavailable, match="no more files"):
            store.wait(failing)
    assert store.seen_by_others() == ["a"]
    store.connect = connect
    store.wait_until_back()
    assert store.write(Short(insert("d"))) == "d"


def test_a_sync_is_of_the_log(
    store: ShortcutStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one call of the system, and no commit."""
    synced: list[int] = []
    monkeypatch.setattr(
        sqlite, "_sync", lambda file: synced.append(os.fstat(file).st_ino)
    )
    store.write(Short(insert("a")))
    store.write(Short(insert("b")))
    log = path.with_name(f"{path.name}-wal")
    assert synced == [log.stat().st_ino] * 2
    assert not store.touched_by


def test_a_log_that_cannot_be_opened(
    store: ShortcutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of the thread syncs it, until it can be opened."""

    def fail(*_: object) -> int:
        raise OSError(EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        for name in ("a", "b"):
            assert store.write(Short(insert(name))) == name
    assert len(store.touched_by) == 2
    assert store.write(Short(insert("c"))) == "c"
    assert len(store.touched_by) == 2


def test_a_log_that_is_not_synced(
    store: ShortcutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not trusted again by this process, though the next sync may succeed."""

    def fail(_: int) -> None:
        raise OSError(EIO, "Input/output error")

    store.write(Short(insert("a")))
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_sync", fail)
        with pytest.raises(StoreUnavailable, match=r"-wal is not synced: .*Input"):
            store.write(Short(insert("b")))
    with pytest.raises(StoreUnavailable, match="start this server again"):
        store.write(Short(insert("c")))


@pytest.mark.parametrize("kind", [Short, lambda job: job])
def test_the_log_does_not_grow_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Job[str]], Job[str]]
) -> None:
    """SQLite brings it into the file when the thread commits, whoever wrote it."""
    pages = 100
    longest = pages * 4096  # a little less than the pages have in the log
    monkeypatch.setattr(sqlite, "_LOG_BYTES", longest)
    log = path.with_name(f"{path.name}-wal")
    lengths = []
    with closing(ShortcutStore(path)) as store:
        assert isinstance(store.writer, SqliteConnection)
        store.writer.connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        for number in range(pages):
            store.write(kind(insert(f"{number}" + "x" * 10_000)))
            lengths.append(log.stat().st_size)
        assert max(lengths) < 1.2 * longest
        assert lengths.count(longest) > pages // 2  # truncated, as often as begun again
        assert path.stat().st_size > 1_000_000


def test_what_a_killed_process_left_is_synced(path: Path) -> None:
    """The first commit of the next process is on the disk, with all before it."""
    store = ShortcutStore(path)
    assert len(store.events) == 0
    with closing(sqlite3.connect(path)) as other:
        [[before]] = other.execute("PRAGMA data_version").fetchall()
        ShortcutStore(path).close()
        [[after]] = other.execute("PRAGMA data_version").fetchall()
    assert after != before  # another process has committed
    store.close()


def test_a_lost_connection_is_replaced(path: Path) -> None:
    """One that an error has made unusable is closed; the next call has a new one."""
    file = SqliteFile(path)
    made: list[SqliteConnection] = []

    def connect() -> SqliteConnection:
        made.append(file.connect_for_shortcut())
        return made[-1]

    def lose(_: Connection) -> None:
        made[-1].is_lost = True
        raise StoreUnavailable

    shortcut = Shortcut(connect)
    shortcut.run(lose)
    assert shortcut.run(lambda own: own is made[-1])
    shortcut.close()
    assert len(made) == 2
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.connection.execute("SELECT 1")
