"""A store of version 18, whose rows become those of one of our names."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.json import encode
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine import postgres
from homeserver.storage.engine.connection import Connection, transaction
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.engine.sqlite import SqliteFile
from homeserver.storage.migrations import migrate
from homeserver.storage.peers import PeerStore
from homeserver.storage.refusals import Refusal
from tests.support.coroutines import result_of
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.postgres_server import Server

PEER = ServerName.parse("peer.example")
DOWN = ServerName.parse("down.example")

LAST = 18

REFUSAL = encode(
    Refusal(
        refused_ts=7,
        address="192.0.2.1",
        origin="peer.example",
        proven=False,
        method="GET",
        path="/",
        status=401,
        errcode="M_UNAUTHORIZED",
        error="no",
        reason="header",
    )
).decode()

# {table: its rows, as {column: value}}, with each column of each table of version 18.
ROWS: dict[str, list[dict[str, object]]] = {
    "received_transactions": [
        {
            "id": 3,
            "origin": "peer.example",
            "txn_id": "t",
            "digest": b"d" * 32,
            "received_ts": 1,
            "key_id": "ed25519:1",
            "client_certificate": "ab",
            "edus": '[{"edu_type":"m.test"}]',
            "problems": '["a problem"]',
            "remarks": '["a remark"]',
            "reply": b'{"pdus":{}}',
        },
    ],
    "received_pdus": [
        {
            "transaction_id": 3,
            "position": 0,
            "event_id": "$e",
            "room_version": "11",
            "verdict": "accepted",
            "event": '{"type":"m.test"}',
            "room_version_source": "default",
            "signers": '["peer.example"]',
        },
    ],
    "last_received": [{"id": 5}],
    "rooms": [{"room_id": "!r:peer.example", "room_version": "9"}],
    "refusals": [
        {"id": 4, "refused_ts": 7, "origin": "peer.example", "refusal": REFUSAL},
    ],
    "last_refused": [{"id": 6}],
    "outbound_entries": [
        {
            "id": number,
            "destination": name,
            "pdus": pdus,
            "edus": "[]",
            "txn_id": txn_id,
            "length": 9,
            "queued_ts": 8,
            "ephemeral": 0,
            "dropped_ts": dropped_ts,
            "dropped_by": dropped_by,
        }
        for number, name, pdus, txn_id, dropped_ts, dropped_by in [
            (1, "peer.example", "", "1-1", None, None),
            (2, "down.example", "", "1-2", None, None),
            (3, "down.example", '[{"n":3}]', None, None, None),
            (4, "down.example", "", None, 5, "peers --drop"),
        ]
    ],
    "outbound_transactions": [
        {
            "destination": name,
            "txn_id": txn_id,
            "body": body,
            "attempts": 2,
            "last_error": error,
            "delivered_ts": delivered_ts,
            "reply": reply,
            "connection": reply,
            "rejected_ts": None,
            "remarks": "[]",
            "dropped_ts": None,
        }
        for name, txn_id, body, error, delivered_ts, reply in [
            ("peer.example", "1-1", b"", None, 9, "{}"),
            ("down.example", "1-2", b'{"pdus":[{"n":2}]}', "no route", None, None),
        ]
    ],
    "destinations": [
        {
            "server_name": "down.example",
            "queued": 2,
            "due_ts": 100,
            "holder": None,
            "failures": 3,
            "last_error": "no route",
            "earliest_ts": 50,
            "at_once": 0,
            "rejected": 1,
            "dropped": 1,
            "slash": 1,
            "fresh": 0,
        },
    ],
    "peers": [
        {
            "server_name": "peer.example",
            "verified_by": "key-document",
            "certificate_sha256": "cd",
            "pinned_keys": '{"ed25519:1":"%s"}' % ("A" * 43),
            "first_verified_ts": 10,
            "last_verified_ts": 11,
        },
    ],
    "server_keys": [
        {
            "server_name": "peer.example",
            "key_id": "ed25519:1",
            "key": bytes(32),
            "valid_until_ts": 12,
            "expired_ts": None,
            "since_ts": 13,
        },
    ],
    "key_documents": [
        {
            "id": 9,
            "server_name": "peer.example",
            "keys": '{"ed25519:1":"x"}',
            "valid_until_ts": 14,
            "fetched_ts": 15,
            "length": 2,
            "document": '{"a":1}',
        },
    ],
    "certificate_pins": [
        {
            "server_name": "peer.example",
            "certificate_sha256": "ef",
            "pinned_ts": 16,
        },
    ],
    "known_names": [{"server_name": "peer.example", "used_ts": 17, "size": 18}],
    "retention": [
        {
            "length": 19,
            "received_id": 3,
            "delivered_ts": 20,
            "rejected_ts": 21,
            "dropped_ts": 22,
            "pruned_id": 1,
        },
    ],
}

RENAMED = {"earliest_ts": "not_before_ts", "at_once": "retry_immediately"}
"""The columns that have another name since."""

SINGLE = ("last_received", "last_refused", "retention")
"""The tables of one row, which every store has."""


def fill(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an empty store one of version 18, with a row of each kind in each table."""
    scripts = migrate._scripts()
    before = {number: text for number, text in scripts.items() if number <= LAST}
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_scripts", lambda: before)
        migrate.migrate(connection, OTHER_NAME)  # these scripts do not name it
    with transaction(connection) as cursor:
        for table, rows in ROWS.items():
            for row in rows:
                if table in SINGLE:
                    cursor.execute(f"DELETE FROM {table}")
                # The store counts entries from 1 by itself.
                is_counted = table == "outbound_entries"
                given = {k: v for k, v in row.items() if not (is_counted and k == "id")}
                columns, marks = ", ".join(given), ", ".join("?" * len(given))
                cursor.execute(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})",
                    list(given.values()),
                )


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
