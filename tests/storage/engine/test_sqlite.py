"""The store in a file: its settings, and what becomes of it when the file fails."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from homeserver.storage.engine.interface import Cursor, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection, SqliteFile
from tests.support.threaded_databases import Store, insert, rooms


def open_store(path: Path) -> Store:
    """The database at `path`."""
    return Store(f"sqlite:{path}")


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A database that is closed in the end."""
    store = open_store(path)
    yield store
    store.close()


def execute(store: Store, statement: str) -> None:
    """Change a setting of the writer's connection, before it has started."""
    assert isinstance(store.writer, SqliteConnection)
    store.writer.connection.execute(statement)


def test_files_are_their_owners_alone(path: Path) -> None:
    """The database and what SQLite keeps beside it are, whatever the umask."""
    before = os.umask(0)
    try:
        store = open_store(path)
        store.write(insert("a"))
        modes = {
            each.name: stat.S_IMODE(each.stat().st_mode)
            for each in path.parent.glob("homeserver.db*")
        }
        store.close()
    finally:
        os.umask(before)
    assert modes == {
        "homeserver.db": 0o600,
        "homeserver.db-shm": 0o600,
        "homeserver.db-wal": 0o600,
    }


def test_a_mode_that_was_chosen(path: Path) -> None:
    """A database that is there keeps its mode."""
    open_store(path).close()
    path.chmod(0o640)
    open_store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


SETTINGS: list[tuple[str, object]] = [
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL
    ("foreign_keys", 1),
    ("wal_autocheckpoint", 1000),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_setting(store: Store, name: str, value: object) -> None:
    """A commit is on the disk when it returns, and readers do not wait for it."""

    def job(cursor: Cursor) -> object:
        [found] = cursor.execute(f"PRAGMA {name}").fetchone()
        return found

    assert (store.write(job), store.read(job)) == (value, value)


def test_a_locked_store(store: Store, path: Path) -> None:
    """A store that another process has locked is not available, until it is again."""
    execute(store, "PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = [store.begin_write(insert(name)) for name in "ab"]
        for each in done:
            with pytest.raises(StoreUnavailable, match="database is locked"):
                store.wait(each)
    assert store.write(insert("c")) == "c"
    assert store.read(rooms) == ["c"]


def test_what_a_job_reads_stays_so_until_it_writes(store: Store, path: Path) -> None:
    """Another process cannot write between what a job reads and what it writes."""

    def job(cursor: Cursor) -> list[str]:
        seen = rooms(cursor)
        with (
            closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("INSERT INTO rooms VALUES ('us', 'b', '1')")
        insert("a")(cursor)
        return seen

    assert store.write(job) == []


def test_a_read_only_store(store: Store) -> None:
    """A store that cannot be written is not available, and can still be read."""
    execute(store, "PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="readonly database"):
        store.write(insert("a"))
    assert store.read(rooms) == []


def test_a_full_disk(store: Store) -> None:
    """What does not fit may undo the whole group; all are told why, and it goes on."""
    execute(store, "PRAGMA max_page_count = 60")
    names = ["a", "x" * 1_000_000, "b"]
    for each in [store.begin_write(insert(name)) for name in names]:
        with pytest.raises(StoreUnavailable, match="database or disk is full"):
            store.wait(each)
    assert store.read(rooms) == []
    assert store.write(insert("c")) == "c"
    assert store.read(rooms) == ["c"]


def test_a_touch_is_a_commit(path: Path) -> None:
    """Each adds to the log, so that SQLite syncs it, and no row is another one."""
    connection = SqliteFile(path).connect()
    connection.record_version(5)
    log = path.with_name(f"{path.name}-wal")
    lengths = [log.stat().st_size]
    for _ in range(3):
        connection.touch()
        lengths.append(log.stat().st_size)
    assert lengths == sorted(set(lengths))
    assert connection.load_version() == 5
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(StoreUnavailable):
        connection.touch()
    connection.close()


def test_a_commit_that_fails(store: Store) -> None:
    """Where a commit fails, each job has one of its own; whose fails is told so."""

    def job(cursor: Cursor) -> None:
        cursor.execute("PRAGMA defer_foreign_keys = ON")  # checked by the commit
        cursor.execute(
            "INSERT INTO received_pdus"
            " (server_name, transaction_id, position, verdict, event)"
            " VALUES ('us', 1, 0, '', '')"
        )

    first, failing = store.begin_write(insert("a")), store.begin_write(job)
    assert store.wait(first) == "a"
    with pytest.raises(sqlite3.IntegrityError):
        store.wait(failing)
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["a", "b"]


def test_a_damaged_store(path: Path) -> None:
    """Damage is told to those who meet it, and is forgotten once it is mended."""
    store = open_store(path)
    store.write(insert("x" * 100_000))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        [[size]] = connection.execute("PRAGMA page_size").fetchall()
        # Where the rows are; the schema is elsewhere.
        [[page]] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'rooms'"
        ).fetchall()
    good = path.read_bytes()
    content = bytearray(good)
    content[(page - 1) * size : page * size] = b"\xaa" * size
    path.write_bytes(content)
    store = open_store(path)
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.read(lambda cursor: cursor.execute("SELECT room_version FROM rooms"))
    with pytest.raises(StoreUnavailable, match="malformed"):
        store.write(insert("a"))
    path.write_bytes(good)
    store.wait_until_back()
    store.read(lambda cursor: cursor.execute("SELECT room_version FROM rooms"))
    store.close()


def test_close_leaves_no_other_file(path: Path) -> None:
    """A store that is closed is one file."""
    store = open_store(path)
    store.write(insert("a"))
    store.close()
    assert [each.name for each in path.parent.iterdir()] == ["homeserver.db"]


def test_no_database(path: Path) -> None:
    """A file that is no database is refused, and left as it is."""
    path.write_text("precious" * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store(path)
    assert path.read_text() == "precious" * 1000


def test_no_folder(path: Path) -> None:
    """A store in a folder that is not there is refused with its path."""
    with pytest.raises(StoreUnavailable, match=r"no/homeserver\.db cannot be used: "):
        open_store(path.parent / "no" / "homeserver.db")


def assert_unavailable(store: Store, why: str) -> None:
    """Who writes and who reads is told why."""
    with pytest.raises(StoreUnavailable, match=why):
        store.write(insert("lost"))
    with pytest.raises(StoreUnavailable, match=why):
        store.read(rooms)


@pytest.mark.parametrize("instead", [None, "another store", "something else"])
def test_a_file_that_is_moved(
    store: Store, path: Path, tmp_path: Path, instead: str | None
) -> None:
    """What is not the file any more is left alone, until that one is put back."""
    store.write(insert("a"))
    away = path.rename(tmp_path / "away.db")
    content = None
    if instead == "another store":
        other = open_store(tmp_path / "other.db")
        other.close()
        (tmp_path / "other.db").rename(path)
        content = path.read_bytes()
    elif instead is not None:
        path.write_bytes(content := b"precious" * 10)
    assert_unavailable(store, "is not the file any more that was opened; put that one")
    assert store.database.problem is not None
    assert (path.read_bytes() if path.exists() else None) == content
    away.rename(path)
    store.wait_until_back()
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["a", "b"]


def test_a_file_that_is_moved_during_a_write(store: Store, path: Path) -> None:
    """What was committed into a file that is gone counts as not done."""

    def job(cursor: Cursor) -> None:
        insert("a")(cursor)
        path.rename(path.with_name("away.db"))

    with pytest.raises(StoreUnavailable, match="is not the file any more"):
        store.write(job)
    path.with_name("away.db").rename(path)


def test_a_file_with_rubbish_in_it(store: Store, path: Path) -> None:
    """A file that is overwritten is not available, until what was in it is back."""
    store.write(insert("a"))
    execute_elsewhere(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(b"\xaa" * len(content))
    assert_unavailable(store, "malformed|not a database")
    path.write_bytes(content)
    store.wait_until_back()
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["a", "b"]


def execute_elsewhere(path: Path, statement: str) -> None:
    """Do something to the file over a connection of its own."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)


def test_a_lock_that_ends(store: Store, path: Path) -> None:
    """A store that was locked is known to be back without being asked for."""
    execute(store, "PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.write(insert("a"))
        assert store.database.problem is not None
    store.wait_until_back()
