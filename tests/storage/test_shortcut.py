"""What is done at once: by whom, when it is told, and what it leaves to the threads."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, current_thread, get_ident
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from homeserver.protocol.transactions import MAX_PDUS
from homeserver.storage import sqlite
from homeserver.storage.changes import Changes
from homeserver.storage.connection import Connection
from homeserver.storage.database import Cursor, Job, Short, StoreUnavailable
from homeserver.storage.engines import Engine
from homeserver.storage.received import JudgedPdu, ReceivedStore
from homeserver.storage.sqlite import SqliteConnection, SqliteFile
from homeserver.storage.workers import CALL_SECONDS, MAX_AT_ONCE
from tests.postgres import Server
from tests.storage.test_received import A, transaction
from tests.storage.threaded import LIMIT, Store, T, insert, insert_and_fail, rooms


class Disk:
    """What has a log on the disk, when the test lets it."""

    def __init__(self) -> None:
        self.synced_by: list[int] = []
        self.may_sync = Event()
        self.may_sync.set()
        self.error: OSError | None = None

    def sync(self, log: int) -> None:
        """As `os.fdatasync`."""
        assert self.may_sync.wait(LIMIT)
        self.synced_by.append(get_ident())
        if self.error is not None:
            raise self.error
        os.fdatasync(log)


class ShortcutStore(Store):
    """A store in a file, and its disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = Disk()
        clock = Clock()
        file = SqliteFile(path, self.disk.sync)
        self.connect: Callable[[], Connection] = file.connect
        engine = Engine(
            lambda: self.connect(),  # noqa: PLW0108 - a test may have set another
            lambda _: 0,
            is_shared=False,
            connect_for_shortcut=file.connect_for_shortcut,
        )
        super().__init__(f"sqlite:{path}", engine, clock)

    def begin_short(self, job: Job[T]) -> Deferred[T]:
        """Write something short without waiting."""
        return self.begin_write(Short(job))

    @property
    def log(self) -> Path:
        """The file of the log."""
        return self.path.with_name(f"{self.path.name}-wal")

    def head_of_log(self) -> bytes:
        """What says from where on the log is read; another one when it begins anew."""
        return self.log.read_bytes()[:32]

    def seen_by_others(self) -> list[str]:
        """The rows that another process sees."""
        with closing(sqlite3.connect(self.path)) as other:
            rows = other.execute("SELECT room_id FROM rooms ORDER BY room_id")
            return [room_id for [room_id] in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "homeserver.db"


@pytest.fixture
def store(path: Path) -> Iterator[ShortcutStore]:
    """A database that is closed in the end."""
    store = ShortcutStore(path)
    yield store
    store.disk.may_sync.set()
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
    ("synchronous", 1),  # NORMAL: the log is synced by somebody else
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
    """Not before the log was synced, which the reactor's thread does not wait for."""
    store.disk.may_sync.clear()
    written = store.begin_short(insert("a"))
    store.start()
    assert store.seen_by_others() == ["a"]
    store.pump()
    assert not written.called
    store.disk.may_sync.set()
    assert store.wait(written) == "a"
    [by] = store.disk.synced_by
    assert by != MAIN


def test_what_comes_while_the_disk_works_is_one_sync(store: ShortcutStore) -> None:
    """As many as wait are committed together, up to a number."""
    store.disk.may_sync.clear()
    first = store.begin_short(insert("first"))
    store.start()
    names = [f"{number:03}" for number in range(MAX_AT_ONCE + 1)]
    others = [store.begin_short(insert(name)) for name in names]
    store.pump()
    assert store.seen_by_others() == ["first"]
    store.disk.may_sync.set()
    store.wait(gatherResults([first, *others]))
    assert len(store.disk.synced_by) == 3
    assert store.seen_by_others() == [*names, "first"]


def test_what_weighs_much_is_done_by_few(store: ShortcutStore) -> None:
    """How many are committed together depends on how long each one takes."""
    received = ReceivedStore(store.database, Changes(store.clock))
    store.disk.may_sync.clear()
    recorded = [store.begin_short(insert("first")).addCallback(lambda _: b"")]
    store.start()
    pdus = [JudgedPdu(None, "10", "accepted", b"{}")] * MAX_PDUS
    for number in range(4):
        record = transaction(A, f"t{number}", pdus)
        recorded.append(store.begin(received.record(record)))
    store.pump()
    store.disk.may_sync.set()
    store.wait(gatherResults(recorded))
    assert len(store.disk.synced_by) == 3
    heavy = [store.begin_write(Short(here, MAX_AT_ONCE * 2)) for _ in range(2)]
    assert store.wait(gatherResults(heavy)) == [True, True]
    assert len(store.disk.synced_by) == 5


def test_what_was_read_is_settled(store: ShortcutStore) -> None:
    """Who wants it on the disk waits for the sync, if there is one to wait for."""
    store.disk.may_sync.clear()
    written = store.begin_short(insert("a"))
    store.start()
    assert store.read(rooms) == ["a"]
    settled = store.begin(store.database.settle())
    store.pump()
    assert not settled.called
    store.disk.may_sync.set()
    store.wait(gatherResults([written.addCallback(lambda _: None), settled]))
    syncs = len(store.disk.synced_by)
    store.wait(store.begin(store.database.settle()))
    assert len(store.disk.synced_by) == syncs


def test_what_is_told_of_transactions_is_on_the_disk(store: ShortcutStore) -> None:
    """Who repeats one that hangs is not told what may still be lost; nobody is."""
    received = ReceivedStore(store.database, Changes(store.clock))
    first = transaction(A, "first")
    store.wait(store.begin(received.record(first)))
    store.disk.may_sync.clear()
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
    store.disk.may_sync.set()
    store.wait_for(lambda: store.database.problem is None)
    assert (
        store.wait(store.begin(received.reply_to(A, "t"))) == b"reply to t of a.example"
    )
    assert len(store.wait(store.begin(received.after(0, None, 100, 0.0)))) == 2


def fail_a_sync(store: ShortcutStore) -> None:
    """Have a sync fail once, and wait until the store works again."""
    store.write(Short(insert("a")))
    store.disk.error = OSError(5, "Input/output error")
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        store.write(Short(insert("of the failed sync")))
    store.disk.error = None
    store.wait_for(lambda: store.database.problem is None)


def test_a_sync_that_fails(store: ShortcutStore, path: Path) -> None:
    """Those who wait are told so, and the log is not believed any more."""
    fail_a_sync(store)
    # What was in it was brought into the file, which has it on the disk.
    assert b"of the failed sync" in path.read_bytes()
    assert store.write(Short(insert("c"))) == "c"
    assert store.read(Short(rooms)) == ["a", "c", "of the failed sync"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_what_was_opened_is_closed(store: ShortcutStore) -> None:
    """The log, too, of a connection that is of no use any more."""
    fail_a_sync(store)
    store.close()
    targets = [str(link.resolve()) for link in Path("/proc/self/fd").iterdir()]
    assert not [target for target in targets if target.startswith(str(store.path))]


def test_a_log_that_somebody_reads_is_not_mended(
    store: ShortcutStore, path: Path
) -> None:
    """As long as that is so, the store is not available."""
    store.write(Short(insert("a")))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM rooms").fetchall()
        store.disk.error = OSError(5, "Input/output error")
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            store.write(Short(insert("b")))
        store.disk.error = None
        with pytest.raises(StoreUnavailable, match="cannot be mended"):
            store.write(Short(insert("c")))
    store.wait_for(lambda: store.database.problem is None)
    assert store.write(Short(insert("d"))) == "d"
    assert "c" not in store.read(Short(rooms))


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
    store.wait_for(lambda: store.database.problem is None)
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
    store.wait_for(lambda: store.database.problem is None)
    assert store.write(Short(insert("d"))) == "d"


MAX_LOG_BYTES = 200_000
ROW_BYTES = 20_000  # more than the log gets from one write


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that begins anew after twenty writes, for each store from now on."""
    monkeypatch.setattr(sqlite, "_MAX_LOG_BYTES", MAX_LOG_BYTES)


@pytest.mark.usefixtures("small_log")
@pytest.mark.parametrize("kind", [Short, lambda job: job])
def test_the_log_does_not_grow_without_end(
    path: Path, kind: Callable[[Job[str]], Job[str]]
) -> None:
    """What is in it is brought into the file, and it begins anew, by whomever."""
    store = ShortcutStore(path)
    statements: list[str] = []
    assert isinstance(store.writer, SqliteConnection)
    store.writer.connection.set_trace_callback(statements.append)
    for number in range(100):
        store.write(kind(insert(f"{number}")))
        assert store.log.stat().st_size <= MAX_LOG_BYTES + ROW_BYTES
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM rooms").fetchall()
        statements.clear()
        for number in range(100):
            store.write(kind(insert(f"held {number}")))
        tries = statements.count("PRAGMA wal_checkpoint(PASSIVE)")
    held = store.log.stat().st_size
    assert held > 2 * MAX_LOG_BYTES
    assert 1 <= tries <= held // MAX_LOG_BYTES
    number = 0
    while store.log.stat().st_size > MAX_LOG_BYTES:
        assert store.log.stat().st_size <= held + MAX_LOG_BYTES + ROW_BYTES
        store.write(kind(insert(f"freed {number}")))
        number += 1
    store.close()


@pytest.mark.usefixtures("small_log")
def test_who_begins_the_log_anew(path: Path) -> None:
    """The thread does: whoever does waits for the disk."""
    ShortcutStore(path).close()
    heads = set()
    for start in range(2):
        store = ShortcutStore(path)
        for number in range(50):
            head = store.head_of_log()
            heads.add(head)
            store.disk.may_sync.clear()
            written = store.begin_short(insert(f"{start} {number}"))
            store.start()
            assert store.head_of_log() == head
            store.disk.may_sync.set()
            store.wait(written)
        store.close()
    assert len(heads) > 2


@pytest.mark.usefixtures("small_log")
def test_a_lock_keeps_no_write_from_being_told(
    store: ShortcutStore, path: Path
) -> None:
    """What is on the disk is told, though the log cannot begin anew."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number in range(50):
            store.disk.may_sync.clear()
            written = store.begin_short(insert(f"{number}"))
            store.start()
            is_due = store.log.stat().st_size > MAX_LOG_BYTES
            if is_due:
                other.execute("BEGIN IMMEDIATE")
            store.disk.may_sync.set()
            assert store.wait(written) == f"{number}"
            if is_due:
                # And who writes next waits for it.
                waiting = store.begin_write(insert("next"))
                store.start()
                store.pump()
                assert not waiting.called
                other.execute("COMMIT")
                assert store.wait(waiting) == "next"
                return
    pytest.fail("the log never had to begin anew")
