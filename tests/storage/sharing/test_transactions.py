"""Transactions that several processes record in one store: once, and in one order."""

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Database, StoreUnavailable
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.slow_database import Slow, wait_until_blocked
from tests.support.threaded_databases import Store

A = ServerName.parse("a.example")
NOW = 1_600_000_000_000


def transaction(txn_id: str, reply: bytes = b"{}") -> ReceivedTransaction:
    """A transaction of A."""
    return ReceivedTransaction(A, txn_id, NOW, "ed25519:a", None, [], [], [], reply)


def received(database: Database) -> ReceivedStore:
    """The received transactions in a store."""
    return ReceivedStore(database, OUR_NAME, Changes(Clock()))


def listed(store: Store) -> list[object]:
    """The transaction IDs in the order of their IDs."""
    return [
        each.txn_id
        for each in store.wait(
            store.begin(received(store.database).after(0, None, 9, 0))
        )
    ]


def test_a_transaction_at_two_endpoints_is_recorded_once(
    store: Store, slow: Slow
) -> None:
    """Both answer with the bytes of the one that recorded it."""
    first = result_of(received(slow).record(transaction("1", b"first")))
    second = store.begin(received(store.database).record(transaction("1", b"second")))
    wait_until_blocked(store)
    assert not second.called
    slow.commit()
    assert (first, store.wait(second)) == (b"first", b"first")
    assert listed(store) == ["1"]


def test_no_id_is_seen_after_a_larger_one(store: Store, slow: Slow) -> None:
    """A transaction that is not committed yet keeps later ones from being seen."""
    result_of(received(slow).record(transaction("first")))
    second = store.begin(received(store.database).record(transaction("second")))
    wait_until_blocked(store)
    assert listed(store) == []
    slow.commit()
    store.wait(second)
    assert listed(store) == ["first", "second"]


def test_a_row_that_is_held_for_ever(url: str) -> None:
    """Nobody waits for ever for a row; who wants it is told, and others go on."""
    holder, store = Slow(url), Store(f"{url}%20-clock_timeout%3D100")
    result_of(received(holder).record(transaction("1")))
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        store.wait(store.begin(received(store.database).record(transaction("2"))))
    holder.close()
    store.wait(store.begin(received(store.database).record(transaction("2"))))
    assert listed(store) == ["2"]
    store.close()


def test_who_stands_still_loses_what_it_holds(store: Store, url: str) -> None:
    """An endpoint that is frozen within a transaction is thrown out of it."""
    frozen = Slow(f"{url}%20-cidle_in_transaction_session_timeout%3D100")
    result_of(received(frozen).record(transaction("frozen")))
    store.wait(store.begin(received(store.database).record(transaction("2"))))
    with pytest.raises(StoreUnavailable):
        frozen.commit()
    assert listed(store) == ["2"]
    frozen.close()
