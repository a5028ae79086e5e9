"""What is done at once: by whom, when it is told, and what is left to the threads."""

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import current_thread, get_ident

import pytest
from twisted.internet.defer import gatherResults

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Cursor, Job, Short, StoreUnavailable
from homeserver.storage.engine.shortcut import Shortcut
from homeserver.storage.engine.sqlite import SqliteConnection, SqliteFile
from homeserver.storage.engine.thread import MAX_GROUP
from tests.support.postgres_server import Server
from tests.support.shortcut_stores import MAIN, ShortcutStore
from tests.support.threaded_databases import Store, insert, insert_and_fail, rooms


def here(_: Cursor) -> bool:
    """A job that says whether it runs in the thread of the test."""
    return get_ident() == MAIN


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
