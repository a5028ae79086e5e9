"""What was read, or is told of, is on the disk before others hear of it."""

from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Short, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection
from homeserver.storage.engine.thread import CALL_SECONDS
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore
from tests.support.eventually import HANGING_SECONDS
from tests.support.our_names import OUR_NAME
from tests.support.received_stores import A, transaction
from tests.support.shortcut_stores import ShortcutStore
from tests.support.threaded_databases import insert, rooms


def test_what_was_read_is_settled(store: ShortcutStore) -> None:
    """Who wants it on the disk waits for the sync, if there is one to wait for."""
    store.may_sync.clear()
    written = store.begin_short(insert("a"))
    store.start()
    assert store.read(rooms) == ["a"]
    settled = store.begin(store.database.settle())
    store.pump()
    assert not settled.called
    store.may_sync.set()
    store.wait(gatherResults([written.addCallback(lambda _: None), settled]))
    syncs = len(store.synced_by)
    store.wait(store.begin(store.database.settle()))
    assert len(store.synced_by) == syncs


def test_what_another_process_may_have_written_is_settled(path: Path) -> None:
    """A commit syncs also what this process knows nothing of."""
    with closing(ShortcutStore(path, is_shared=True)) as store:
        store.start()
        syncs = len(store.synced_by)
        store.wait(store.begin(store.database.settle()))
        assert len(store.synced_by) == syncs + 1


def test_what_is_told_of_transactions_is_on_the_disk(store: ShortcutStore) -> None:
    """Who repeats one that hangs is not told what may still be lost; nobody is."""
    received = ReceivedStore(store.database, OUR_NAME, Changes(store.clock))
    first = transaction(A, "first")
    store.wait(store.begin(received.record(first)))
    store.may_sync.clear()
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
    store.may_sync.set()
    store.wait_until_back()
    assert (
        store.wait(store.begin(received.reply_to(A, "t"))) == b"reply to t of a.example"
    )
    assert len(store.wait(store.begin(received.after(0, None, 100, 0.0)))) == 2


def test_what_nobody_could_settle_is_not_done(store: ShortcutStore) -> None:
    """Without a connection of the thread, who waits for it already is told so."""
    may_fail = Event()

    def fail() -> Connection:
        assert may_fail.wait(HANGING_SECONDS)
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
    store.wait_until_back()
    assert store.write(Short(insert("d"))) == "d"
