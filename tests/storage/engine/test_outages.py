"""A store that is not there: said at once, nothing is lost, and it comes back."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine import thread
from homeserver.storage.engine.interface import Cursor, StoreUnavailable
from homeserver.storage.engine.postgres import PostgresConnection
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.database_proxy import running_proxy
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import Server, fast_server
from tests.support.threaded_databases import Store, insert, rooms

A = ServerName.parse("a.example")


@pytest.fixture(scope="module")
def breakable() -> Iterator[Server]:
    """A server that the tests stop, and leave running."""
    with fast_server() as server:
        yield server


@pytest.fixture
def store(breakable: Server) -> Iterator[Store]:
    """A store in it."""
    store = Store(breakable.new_store())
    yield store
    store.close()


def assert_unavailable(store: Store) -> None:
    """Who writes and who reads is told so."""
    with pytest.raises(StoreUnavailable):
        store.write(insert("lost"))
    with pytest.raises(StoreUnavailable):
        store.read(rooms)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_gone_for_a_while(
    breakable: Server, store: Store, how: signal.Signals
) -> None:
    """Calls fail while it is gone; what was done is there when it is back."""
    store.write(insert("a"))
    assert store.database.problem is None
    breakable.stop(how)
    assert_unavailable(store)
    store.wait_for(lambda: store.database.problem is not None)
    breakable.start()
    store.wait_until_back()
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["a", "b"]


def test_nobody_waits_for_a_server_that_is_gone(
    breakable: Server, store: Store
) -> None:
    """A call fails without waiting for a thread, as long as there is no connection."""
    store.write(insert("a"))
    breakable.stop()
    assert_unavailable(store)
    store.wait_for(lambda: store.database._writer._refusal is not None)
    failed = store.begin_write(insert("b"))
    assert failed.called
    failed.addErrback(lambda failure: failure.trap(StoreUnavailable))
    breakable.start()
    store.wait_until_back()


def test_a_server_that_was_started_anew(breakable: Server, store: Store) -> None:
    """A connection that ended while nobody used it costs no call."""
    store.write(insert("a"))
    store.read(rooms)
    breakable.stop()
    breakable.start()
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["a", "b"]


def test_a_connection_that_is_lost_among_reads(breakable: Server, store: Store) -> None:
    """Reads that come with the one that loses it are told so as well."""

    def lose(cursor: Cursor) -> object:
        return cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    store.write(insert("a"))
    reads = [store.begin(store.database.read(job)) for job in (rooms, lose, rooms)]
    assert store.wait(reads[0]) == ["a"]
    for read in reads[1:]:
        with pytest.raises(StoreUnavailable):
            store.wait(read)
    store.wait_until_back()
    assert store.read(rooms) == ["a"]


def test_a_connection_that_is_lost_in_a_read(breakable: Server, store: Store) -> None:
    """So is a read of which one statement was answered, and the next was not."""

    def lose(cursor: Cursor) -> object:
        [own] = cursor.execute("SELECT pg_backend_pid()").fetchone()
        other = store.other()
        other.cursor().execute("SELECT pg_terminate_backend(?, 5000)", (own,))
        other.close()
        return rooms(cursor)

    store.write(insert("a"))
    with pytest.raises(StoreUnavailable):
        store.read(lose)
    store.wait_until_back()
    assert store.read(rooms) == ["a"]


def test_a_server_that_hangs(breakable: Server, store: Store) -> None:
    """Who waits for it is told after a while, and who comes then is told at once."""
    store.write(insert("a"))
    breakable.freeze(signal.SIGSTOP)
    try:
        waiting = store.begin_write(insert("b"))
        store.pass_time(thread.CALL_SECONDS)
        with pytest.raises(StoreUnavailable, match="has not answered for 20 seconds"):
            store.wait(waiting)
        assert store.begin_write(insert("c")).addErrback(lambda _: None).called
    finally:
        breakable.freeze(signal.SIGCONT)
    store.wait_until_back()
    assert store.write(insert("d")) == "d"
    assert set(store.read(rooms)) - {"b"} == {"a", "d"}


def test_closing_while_the_server_hangs(breakable: Server) -> None:
    """A thread that hangs is freed, so that a process that ends does not hang too."""
    store = Store(breakable.new_store())
    store.write(insert("a"))
    breakable.freeze(signal.SIGSTOP)
    try:
        waiting = store.begin_write(insert("b"))
        store.pass_time(thread.CALL_SECONDS)
        with pytest.raises(StoreUnavailable):
            store.wait(waiting)
        store.close()
    finally:
        breakable.freeze(signal.SIGCONT)


def test_a_commit_whose_answer_is_lost(breakable: Server) -> None:
    """It counts as failed; who repeats the transaction gets the reply of the first."""
    url = breakable.new_store()
    with running_proxy(breakable.port) as proxy, ExitStack() as stack:
        store = Store(url.replace(str(breakable.port), str(proxy.port)))
        stack.callback(store.close)
        received = ReceivedStore(store.database, OUR_NAME, Changes(Clock()))
        proxy.loses_commits = True
        with pytest.raises(StoreUnavailable):
            store.wait(store.begin(received.record(transaction(b"first"))))
        assert proxy.lost >= 1
        proxy.loses_commits = False
        store.wait_until_back()
        again = received.record(transaction(b"second"))
        assert store.wait(store.begin(again)) == b"first"
        found = store.wait(store.begin(received.after(0, None, 10, 0)))
        assert [each.txn_id for each in found] == ["1"]


def test_closing_while_the_server_is_gone(breakable: Server) -> None:
    """A process that ends does not wait for the server."""
    store = Store(breakable.new_store())
    store.write(insert("a"))
    breakable.stop()
    assert_unavailable(store)
    store.close()
    breakable.start()


def test_a_server_that_is_made_anew(breakable: Server, store: Store) -> None:
    """A store that lost all that was in it while nobody looked is made again."""
    store.write(insert("a"))
    schema = store.url.rpartition("%3D")[2]
    breakable.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    breakable.stop()
    breakable.start()
    assert store.write(insert("b")) == "b"
    assert store.read(rooms) == ["b"]


def test_a_server_whose_store_cannot_be_made_use_of(
    breakable: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with a new connection is told, and tried again."""
    store.write(insert("a"))
    breakable.stop()
    breakable.start()
    with monkeypatch.context() as patch:
        patch.setattr(PostgresConnection, "load_version", lambda _: 1 // 0)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="by zero"):
                store.write(insert("b"))
    store.wait_until_back()
    assert store.read(rooms) == ["a"]


def transaction(reply: bytes) -> ReceivedTransaction:
    """A transaction of A."""
    return ReceivedTransaction(A, "1", 0, "ed25519:a", None, [], [], [], reply)
