"""The schema: brought up to date in one step, or left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from homeserver.storage.engine.interface import StoreTooNew, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection
from homeserver.storage.migrations.migrate import _scripts, migrate
from tests.support.our_names import OUR_NAME
from tests.support.threaded_databases import Store

NEWEST = max(_scripts())


def open_store(path: Path) -> Store:
    """The database at `path`."""
    return Store(f"sqlite:{path}")


def set_version(path: Path, version: int) -> None:
    """Make a store one that another version of the program wrote."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_a_store_that_is_too_new(path: Path) -> None:
    """A store of a later version is refused, left as it is, and not kept locked."""
    open_store(path).close()
    set_version(path, 1000)
    said = f"version 1000, this program knows up to {NEWEST};"
    with pytest.raises(StoreTooNew, match=said):
        open_store(path)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert connection.execute("PRAGMA user_version").fetchall() == [(1000,)]


def test_an_old_store_is_migrated(path: Path) -> None:
    """Only the scripts that a store has not seen are run, and it remembers them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    open_store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA user_version").fetchall() == [(NEWEST,)]
        connection.execute("DROP TABLE rooms")
        migrate(SqliteConnection(connection, "a store"), OUR_NAME)
        tables = {n for [n] in connection.execute("SELECT name FROM sqlite_schema")}
    assert "mine" in tables
    assert "rooms" not in tables


def test_a_migration_that_fails(path: Path) -> None:
    """A script that fails leaves nothing of itself."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rooms (a)")
    with pytest.raises(StoreUnavailable, match="table rooms already exists"):
        open_store(path)
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
            migrate(SqliteConnection(own, "a store"), OUR_NAME)
