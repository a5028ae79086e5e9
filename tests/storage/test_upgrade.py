"""A store of before, with all that was in it, in the hands of this program."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.sqlite import SqliteConnection, SqliteFile
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.migrations import migrate
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peers import PeerStore
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.postgres_server import Server
from tests.support.queue_summaries import queue_summary
from tests.support.threaded_databases import Call, Store, T

ALPHA, BETA, DOWN = map(ServerName.parse, ["alpha.test", "beta.test", "down.test:1"])

_DUMP = (Path(__file__).parent / "version_3.sql").read_text("utf-8")


def load(connection: Connection) -> None:
    """Make an empty store one of version 3, as it was dumped."""
    if isinstance(connection, SqliteConnection):
        connection.connection.executescript(
            f"PRAGMA foreign_keys = OFF; {_DUMP} PRAGMA user_version = 3;"
        )
        return
    connection.begin()
    connection.load_version()
    cursor = connection.cursor()
    for number in (1, 2, 3):
        for statement in migrate._scripts()[number].split(";\n")[:-1]:
            cursor.execute(statement)
    cursor.execute("SET session_replication_role = replica")  # in the dump's order
    for line in _DUMP.splitlines():
        if line.startswith('INSERT INTO "sqlite_sequence"'):
            [(table, last)] = re.findall(r"VALUES\('(\w+)',(\d+)\)", line)
            name = cursor.execute(
                "SELECT pg_get_serial_sequence(?, 'id')", (table,)
            ).fetchone()
            cursor.execute("SELECT setval(CAST(? AS TEXT), ?)", (*name, int(last)))
        elif line.startswith("INSERT"):
            cursor.execute(re.sub(r"\bX'([0-9A-F]*)'", r"'\\x\1'", line))
    connection.record_version(3)
    connection.commit()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """What this program makes of a store of version 3."""
    if request.param == "sqlite":
        url = f"sqlite:{tmp_path / 'homeserver.db'}"
    else:
        server: Server = request.getfixturevalue("postgres")
        url = server.new_store()
    connection = Store.engine_of(url).connect()
    load(connection)
    connection.close()
    store = Store(url, owner=ALPHA)
    yield store
    store.close()


def done(store: Store, call: Call[T]) -> T:
    """What a call returns."""
    return store.wait(store.begin(call))


def test_what_was_received(store: Store) -> None:
    """Each transaction is there with its PDUs and its reply; a new one comes after."""
    received = ReceivedStore(store.database, ALPHA, Changes(Clock()))
    first, second, third = done(store, received.after(0, None, 10, 0))
    assert [each.id for each in (first, second, third)] == [1, 2, 3]
    assert bytes(first.edus[0]) == b'{"content":{"number":0},"edu_type":"m.test"}'
    [pdu] = third.pdus
    assert pdu.verdict == "accepted"
    reply = done(store, received.reply_to(BETA, third.txn_id))
    assert reply == b'{"pdus":{"%s":{}}}' % str(pdu.event_id).encode()
    room = RoomId("!r:beta.test")
    assert done(store, received.room_versions([room])) == {room: "10"}
    new = ReceivedTransaction(BETA, "new", 1, "ed25519:a", None, [], [], [], b"{}")
    done(store, received.record(new))
    [listed] = done(store, received.after(3, None, 10, 0))
    assert (listed.id, listed.txn_id) == (4, "new")
    # What its content was is not known: whatever comes under its ID is taken for it.
    again = ReceivedTransaction(
        BETA, third.txn_id, 1, "k", None, [], [], [], b"{}", b"d" * 32
    )
    assert done(store, received.record(again)) == reply
    assert done(store, received.reply_to(BETA, again.txn_id, again.digest)) == reply


def test_what_is_owed(store: Store) -> None:
    """What was cut keeps its ID and its bytes; what was delivered is still told."""
    queue = OutboundQueue(store.database, ALPHA, lambda _: 2_000_000_000_000)
    delivered = done(store, queue.state(BETA, 1))
    assert delivered is not None
    assert delivered.state == "delivered"
    summary = done(store, queue_summary(store.database, ALPHA, DOWN))
    assert summary is not None
    assert (summary.queued, summary.oldest_id, summary.failures) == (2, 3, 9)
    assert (summary.next_attempt_ts, bool(summary.last_error)) == (1795604905476, True)
    assert done(store, queue_summary(store.database, ALPHA, BETA)) is None
    edus = "SELECT edus FROM outbound_entries ORDER BY id"
    kept = store.read(lambda cursor: cursor.execute(edus).fetchall())
    assert [bool(each) for [each] in kept] == [False, False, False, True]
    leases = DestinationLeases(
        store.database,
        lambda name: name == ALPHA,
        lambda _: 2_000_000_000_000,
        "x",
        60.0,
        is_shared=False,
    )
    [pending] = done(store, leases.lease(Quota(10, 10), ())).transactions
    [line] = [
        line for line in _DUMP.splitlines() if pending.txn_id in line and "X'" in line
    ]
    assert pending.body.hex().upper() in line
    assert b'"number":7' in pending.body
    new = done(store, queue.add(DOWN, [], [], is_ephemeral=False))
    assert new == 5


def test_who_is_known(store: Store) -> None:
    """Peers are pinned as they were, and their keys and documents are there."""
    peers = PeerStore(store.database, ALPHA, Clock())
    peer = done(store, peers.peer(BETA))
    assert peer is not None
    assert peer.verified_by == "key-document"
    keys = done(store, peers.keys(BETA))
    assert {key_id: key.verify_key for key_id, key in keys.items()} == peer.pinned_keys
    documents = DocumentStore(store.database, ALPHA)
    [fetched] = done(store, documents.documents(BETA))
    document = done(store, documents.read(fetched))
    assert document is not None
    assert document["server_name"] == "beta.test"


def test_sources_of_room_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a room version rests on is called as today; verdicts stay as they were."""
    connection = SqliteFile(tmp_path / "old.db").connect()
    load(connection)
    scripts = migrate._scripts()
    its_own = min(n for n, text in scripts.items() if "room_version_source" in text)
    before = {n: text for n, text in scripts.items() if n < its_own}
    monkeypatch.setattr(migrate, "_scripts", lambda: before)
    migrate.migrate(connection, ALPHA)
    cursor = connection.cursor()
    for position, source in enumerate(["shape", "default", "create event", None], 10):
        cursor.execute(
            "INSERT INTO received_pdus (transaction_id, position, verdict, event,"
            " room_version_basis) VALUES (1, ?, 'accepted', '{}', ?)",
            (position, source),
        )
    monkeypatch.setattr(migrate, "_scripts", lambda: scripts)
    migrate.migrate(connection, ALPHA)
    rows = cursor.execute(
        "SELECT room_version_source, verdict, signers FROM received_pdus"
        " WHERE position >= 10 ORDER BY position"
    ).fetchall()
    connection.close()
    sources = ["event format", "default", "create event", None]
    assert rows == [(source, "accepted", None) for source in sources]


def test_the_schema(tmp_path: Path) -> None:
    """A store that was brought up to date is as one that was made today."""
    statements = []
    for name in "old", "new":
        connection = SqliteFile(tmp_path / f"{name}.db").connect()
        if name == "old":
            load(connection)
        migrate.migrate(connection, ALPHA)
        rows = connection.cursor().execute(
            "SELECT name, sql FROM sqlite_schema ORDER BY name"
        )
        statements.append(rows.fetchall())
        connection.close()
    assert statements[0] == statements[1]


def test_each_script_has_a_number_of_its_own() -> None:
    """The scripts are numbered from 1, and none has the number of another."""
    folder = Path(migrate.__file__).parent
    numbers = sorted(int(path.name[:4]) for path in folder.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))
