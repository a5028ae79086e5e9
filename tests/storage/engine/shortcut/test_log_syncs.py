"""How SQLite's log is synced and bounded, and what follows a sync that fails."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from errno import EIO, EMFILE
from pathlib import Path

import pytest

from homeserver.storage.engine import sqlite
from homeserver.storage.engine.interface import Job, Short, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection
from tests.support.shortcut_stores import ShortcutStore
from tests.support.threaded_databases import insert, rooms


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
        with pytest.raises(
            StoreUnavailable, match="-wal is not synced: Input/output error"
        ):
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
