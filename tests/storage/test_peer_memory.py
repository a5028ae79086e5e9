"""What a store remembers of the keys of servers, to read them less often."""

import sqlite3
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.storage.engine.interface import Job
from homeserver.storage.peers import PeerStore
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.peer_keys import (
    AT_ONCE,
    FIRST,
    HOUR,
    K1,
    LATER,
    NOW,
    A,
    B,
    by_document,
    document_of,
    keys_of,
)

_T = TypeVar("_T")


class CountingDatabase(MemoryDatabase):
    """A database that counts what it is asked, and fails to write when it is told."""

    reads = 0
    is_full = False

    async def read(self, job: Job[_T]) -> _T:
        """As `MemoryDatabase`, counted."""
        self.reads += 1
        return await super().read(job)

    async def write(self, job: Job[_T]) -> _T:
        """As `MemoryDatabase`; who cannot write may have written all the same."""
        result = await super().write(job)
        if self.is_full:
            raise sqlite3.OperationalError("full")
        return result


class Remembering:
    """A store whose database is looked at."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.database = CountingDatabase()
        self.store = PeerStore(self.database, OUR_NAME, self.clock)
        self.other = PeerStore(self.database, OUR_NAME, self.clock)
        """What another process does."""

        result_of(self.store.record_keys(AT_ONCE, NOW))

    def until(self) -> int | None:
        """Until when the key is known to be good."""
        return keys_of(self.store)[K1].valid_until_ts


def test_keys_are_remembered_for_a_minute() -> None:
    """What was read is not read again for a minute, whatever others have written."""
    remembering = Remembering()
    assert remembering.until() == NOW
    result_of(remembering.other.record_keys(LATER, NOW))
    remembering.clock.advance(59.9)
    assert (remembering.until(), remembering.database.reads) == (NOW, 1)
    remembering.clock.advance(0.1)
    assert (remembering.until(), remembering.database.reads) == (NOW + HOUR, 2)


def test_that_nothing_is_known_is_remembered() -> None:
    """A server without keys is not looked for in the database each time."""
    remembering = Remembering()
    for _ in range(3):
        assert keys_of(remembering.store, B) == {}
    assert remembering.database.reads == 1


WRITES = ["keys", "verified", "forget"]


@pytest.mark.parametrize("is_full", [False, True], ids=["done", "failed"])
@pytest.mark.parametrize("write", WRITES)
def test_each_write_makes_the_store_read_anew(write: str, *, is_full: bool) -> None:
    """After each write of a server, done or not, its keys are read anew."""
    remembering = Remembering()
    store, database = remembering.store, remembering.database
    remembering.until()
    keys_of(store, B)
    database.is_full = is_full
    calls = {
        "keys": lambda: store.record_keys(LATER, NOW),
        "verified": lambda: store.record_verified(
            by_document(FIRST), None, document_of(FIRST)
        ),
        "forget": lambda: store.forget(A),
    }
    failures: list[Failure] = []
    Deferred.fromCoroutine(calls[write]()).addErrback(failures.append)
    assert bool(failures) == is_full
    before = database.reads
    after = {"keys": NOW + HOUR, "verified": NOW, "forget": None}
    known = keys_of(store).get(K1)
    assert (known and known.valid_until_ts) == after[write]
    assert database.reads == before + 1
    keys_of(store, B)  # which is remembered as before
    assert database.reads == before + 1


def test_few_bytes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bytes for keys, those of the first server are read again."""
    monkeypatch.setattr("homeserver.storage.peer_memory.MAX_REMEMBERED_BYTES", 1000)
    remembering = Remembering()
    remembering.until()
    keys_of(remembering.store, B)
    remembering.until()
    assert remembering.database.reads == 3
    *_, remembered = remembering.store.bounds
    assert (remembered.use(), remembered.refusals) == (990, 2)


def test_many_servers_are_remembered() -> None:
    """Keys of several thousand servers are remembered, also if one has hundreds."""
    database = CountingDatabase()
    store = PeerStore(database, OUR_NAME, Clock())
    names = [ServerName.parse(f"s{number}.example") for number in range(5000)]
    many = [signing_key(KeyId(f"ed25519:{number}")) for number in range(100)]
    result_of(store.record_keys(key_document(A, many, NOW), NOW))
    for _ in range(2):
        for name in (A, *names):
            result_of(store.keys(name))
    assert database.reads == len(names) + 1
    *_, remembered = store.bounds
    assert remembered.use() == 5001 * 600 + 100 * 390
