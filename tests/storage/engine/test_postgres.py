"""PostgreSQL: who is connected to, and what is said of mistakes."""

import select
import sys
from collections.abc import Sequence
from typing import Any

import pytest

import homeserver.storage.engine
from homeserver.storage.engine.interface import StoreTooNew, StoreUnavailable, snapshot
from homeserver.storage.engine.postgres import PostgresConnection, connect
from homeserver.storage.migrations import migrate
from tests.support.postgres_server import Server
from tests.support.threaded_databases import Store

LIMIT_MILLISECONDS = 5000  # for what takes a tenth of a second

# (URL, what is said of it)
MISTAKES = [
    ("postgresql://u:s3cret%zz@h/d", "invalid percent-encoded token"),
    ("postgresql://u:s3cret@h/d?colour=red", "invalid URI query parameter"),
    ("postgresql://u:s3cret@127.0.0.1:abc/d", 'invalid integer value "abc" for'),
    ("postgresql://u:s3cret@127.0.0.1:1/d", "Connection refused"),
    ("postgresql://u:s3cret@127.0.0.1:{port}/none", 'role "u" does not exist'),
    ("postgresql://tests:s3cret@127.0.0.1:{port}/none", '"none" does not exist'),
]


@pytest.mark.parametrize(("url", "said"), MISTAKES)
def test_a_mistake_is_told(postgres: Server, url: str, said: str) -> None:
    """It is one line, which says what is wrong and not the password."""
    with pytest.raises(StoreUnavailable) as caught:
        connect(url.format(port=postgres.port))
    told = str(caught.value)
    assert said in told
    assert "\n" not in told
    assert "s3cret" not in told


def test_another_encoding(postgres: Server) -> None:
    """A database that cannot hold all text is refused, with how to make one."""
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    url = postgres.url().replace("/postgres?", "/latin?")
    with pytest.raises(StoreUnavailable, match="encoding LATIN1; make one with CREATE"):
        connect(url)


def test_a_store_that_is_too_new(postgres: Server) -> None:
    """A store of a later version is refused, and left as it is."""
    url = postgres.new_store()
    Store(url).close()
    connection = connect(url)
    connection.record_version(1000)
    newest = max(migrate._scripts())
    with pytest.raises(StoreTooNew, match=f"1000, this program knows up to {newest};"):
        Store(url)
    assert connection.load_version() == 1000
    connection.close()


def test_how_long_a_migration_is_waited_for(postgres: Server) -> None:
    """A process that migrates may take minutes; a lock is otherwise waited for less."""
    connection = connect(postgres.new_store())

    def wait() -> object:
        [seconds] = connection.cursor().execute("SHOW lock_timeout").fetchone()
        return seconds

    usual = wait()
    connection.begin()
    connection.load_version()
    during = wait()
    connection.commit()
    assert (usual, during, wait()) == ("15s", "10min", "15s")
    connection.close()


def test_a_snapshot_locks_nothing(postgres: Server) -> None:
    """What others write during a snapshot is not seen in it, and not kept waiting."""
    url = postgres.new_store()
    Store(url).close()
    reading, writing = connect(url), connect(url)
    cursor = reading.cursor()

    def version() -> object:
        return cursor.execute("SELECT version FROM schema_version").fetchone()

    before = version()
    with snapshot(cursor):
        seen = [version()]
        writing.cursor().execute("SET lock_timeout = '1s'")
        writing.cursor().execute("UPDATE schema_version SET version = version + 1")
        seen.append(version())
    assert seen == [before, before] != [version(), version()]
    for connection in (reading, writing):
        connection.close()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg, it is said how to install it; SQLite needs none."""
    monkeypatch.delattr(homeserver.storage.engine, "postgres")
    monkeypatch.delitem(sys.modules, "homeserver.storage.engine.postgres")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        StoreUnavailable, match=r"\.venv/bin/pip install '\.\[postgres\]'$"
    ):
        Store.engine_of("postgresql://h/d")
    assert not Store.engine_of("sqlite:x").is_shared


def test_the_time_is_the_server_s(postgres: Server) -> None:
    """All who share a store have one time, within a transaction too."""
    engine = Store.engine_of(postgres.url())
    connection = engine.connect()
    connection.begin()
    first = engine.clock(connection.cursor())
    connection.cursor().execute("SELECT pg_sleep(0.01)")
    assert engine.clock(connection.cursor()) - first >= 10
    assert first > 1_700_000_000_000
    connection.close()


class Stalling(Sequence[tuple[str]]):
    """Two rows, between which the server has the time to disconnect its client."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index == 1:
            poll = select.poll()
            poll.register(self._connection.connection.fileno(), select.POLLIN)
            self.events = poll.poll(LIMIT_MILLISECONDS)
        if index > 1:
            raise IndexError
        return (f"!{index}",)


def test_client_that_stalls_between_rows(postgres: Server) -> None:
    """A client with locked rows is disconnected also in the middle of many rows.

    The driver's own `executemany` is a pipeline, in which the server's time-out for
    an idle transaction does not run.
    """
    url = postgres.new_store()
    Store(url).close()
    connection = connect(f"{url}%20-cidle_in_transaction_session_timeout%3D100")
    connection.begin()
    rows = Stalling(connection)
    with pytest.raises(StoreUnavailable, match="idle-in-transaction timeout"):
        connection.cursor().executemany(
            "INSERT INTO rooms (server_name, room_id, room_version)"
            " VALUES ('us', ?, '1')",
            rows,
        )
    assert rows.events
    assert connection.is_lost
    connection.close()
