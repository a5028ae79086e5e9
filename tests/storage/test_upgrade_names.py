"""A store of version 18, whose rows become those of one of our names."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from homeserver.storage.engine import postgres
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.engine.sqlite import SqliteFile
from homeserver.storage.migrations import migrate
from homeserver.storage.peers import PeerStore
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import Server
from tests.support.version_18 import LAST, PEER, ROWS, SINGLE, fill

RENAMED = {"earliest_ts": "not_before_ts", "at_once": "retry_immediately"}
"""The columns that have another name since."""


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """A connection to a store of version 18."""
    own: Connection
    if request.param == "sqlite":
        own = SqliteFile(tmp_path / "homeserver.db").connect()
    else:
        server: Server = request.getfixturevalue("postgres")
        own = postgres.connect(server.new_store())
    fill(own, monkeypatch)
    yield own
    own.close()


@pytest.fixture
def database(connection: Connection) -> ImmediateDatabase:
    """What this program makes of it."""
    return ImmediateDatabase(connection, OUR_NAME)


@pytest.mark.parametrize("table", ROWS)
def test_each_row_is_kept(database: ImmediateDatabase, table: str) -> None:
    """Each value of each row is there, and the row is ours."""
    expected = []
    for row in ROWS[table]:
        kept = dict(row)
        if "server_name" in kept:
            theirs = "destination" if table == "destinations" else "peer"
            kept[theirs] = kept.pop("server_name")
        if table not in SINGLE:
            kept["server_name"] = OUR_NAME.name
        expected.append({RENAMED.get(name, name): kept[name] for name in kept})
    columns = list(expected[0])

    def job(cursor: Cursor) -> list[tuple[object, ...]]:
        query = f"SELECT {', '.join(columns)} FROM {table}"
        return cursor.execute(query).fetchall()

    rows = result_of(database.read(job))
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_each_column_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No column of version 18 is left out of these tests."""
    own = SqliteFile(tmp_path / "homeserver.db").connect()
    fill(own, monkeypatch)
    tables = own.connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
        " AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    for [table] in tables:
        columns = own.connection.execute(f"PRAGMA table_info({table})").fetchall()
        assert {name for _, name, *_ in columns} == set(ROWS[table][0]), table
    assert len(tables) == len(ROWS)
    own.close()


def test_the_log_tells_of_it(connection: Connection) -> None:
    """Both versions are logged, before and after; a store of today logs nothing."""
    with capturedLogs() as events:
        migrate.migrate(connection, OUR_NAME)
        migrate.migrate(connection, OUR_NAME)
    before, after = map(formatEvent, events)
    assert f"from version {LAST} to " in before
    assert "has version" in after


_KILLED = """
import os, signal, sys
from pathlib import Path
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.migrations.migrate import migrate
from homeserver.storage.engine.sqlite import SqliteFile

own = SqliteFile(Path(sys.argv[1])).connect()
statements = iter(range(int(sys.argv[2])))
def count(statement):
    if next(statements, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
own.connection.set_trace_callback(count)
migrate(own, ServerName.parse("us.example"))
own.connection.set_trace_callback(None)
"""


@pytest.mark.parametrize("statements", [20, 73, None])
def test_process_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int | None
) -> None:
    """Killed at any statement, the store stays as it was; later it is brought up."""
    path = tmp_path / "homeserver.db"
    own = SqliteFile(path).connect()
    fill(own, monkeypatch)
    before = list(own.connection.iterdump())
    own.close()
    limit = str(10_000 if statements is None else statements)
    killed = subprocess.run([sys.executable, "-c", _KILLED, path, limit], check=False)
    with closing(sqlite3.connect(path)) as left:
        [version] = left.execute("PRAGMA user_version").fetchone()
        if statements is None:
            assert (killed.returncode, version) == (0, max(migrate._scripts()))
        else:
            assert (killed.returncode, version) == (-signal.SIGKILL, LAST)
            assert list(left.iterdump()) == before
    database = ImmediateDatabase(SqliteFile(path).connect(), OUR_NAME)
    peers = PeerStore(database, OUR_NAME, Clock())
    assert result_of(peers.peer(PEER)) is not None
