"""Names that strangers prove fill the store up to its bounds, and no further."""

from typing import Any, TypeVar

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.storage import known_names
from homeserver.storage.certificate_pins import CertificatePins
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.peers import Peer, PeerStore
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.our_names import OTHER_NAME, OUR_NAME

_T = TypeVar("_T")

NOW = 1_600_000_000
KEY = signing_key(KeyId("ed25519:1"))


class Store:
    """A store, and the time that passes for it."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self.database = database
        self.clock = Clock()
        self.clock.advance(NOW)
        self.peers = PeerStore(database, OUR_NAME, self.clock)

    @property
    def now_ts(self) -> int:
        """The time, in milliseconds since 1970."""
        return int(self.clock.seconds() * 1000)

    def document(self, number: int) -> KeyDocument:
        """A document of one of many servers."""
        return key_document(name_of(number), [KEY], self.now_ts + 1000)

    def record(self, number: int) -> None:
        """Store a document of one of many servers, and let a minute pass."""
        result_of(self.peers.record_keys(self.document(number), self.now_ts))
        self.clock.advance(60)

    def verify(self, number: int) -> None:
        """Let one of many servers be verified."""
        peer = Peer(name_of(number), "certificate", "ab" * 32, {}, 1, self.now_ts)
        assert result_of(self.peers.record_verified(peer, None, None))

    def known(self, numbers: range) -> list[int]:
        """The servers of which keys are stored."""
        found = PeerStore(self.database, OUR_NAME, self.clock)  # that remembers nothing
        return [n for n in numbers if result_of(found.keys(name_of(n)))]

    def execute(self, sql: str) -> list[Any]:
        """Run a statement."""

        async def run() -> list[Any]:
            return await self.database.write(
                lambda cursor: cursor.execute(sql).fetchall()
            )

        return result_of(run())


def name_of(number: int) -> ServerName:
    """The name of one of many servers."""
    return ServerName.parse(f"n{number}.example")


@pytest.fixture
def store(database: ImmediateDatabase, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that keeps three names."""
    monkeypatch.setattr(known_names, "MAX_NAMES", 3)
    return Store(database)


def test_names_are_bounded(store: Store) -> None:
    """The name that was not used for the longest time goes, with all that is known."""
    for number in range(3):
        store.verify(number)
        store.record(number)
    assert store.known(range(4)) == [0, 1, 2]
    assert result_of(store.peers.keys(name_of(0)))
    result_of(store.peers.record_keys(store.document(3), store.now_ts))
    # What was remembered of it a moment ago is forgotten, too.
    assert result_of(store.peers.keys(name_of(0))) == {}
    assert store.known(range(4)) == [1, 2, 3]
    assert result_of(store.peers.peer(name_of(0))) is None
    documents = DocumentStore(store.database, OUR_NAME)
    assert result_of(documents.documents(name_of(0))) == []
    assert result_of(store.peers.peer(name_of(1))) is not None
    names, size, _ = store.peers.bounds
    assert (names.use(), names.refusals, size.refusals) == (3, 1, 0)
    assert size.use() > 3 * len(encode(store.document(1).document))


def test_use_counts(store: Store) -> None:
    """A server whose keys are used stays, and one that published again as well."""
    for number in range(3):
        store.record(number)
    store.clock.advance(3600)
    assert result_of(store.peers.keys(name_of(0)))
    store.clock.advance(1)  # of two that were used at one time, either may go
    store.record(1)
    store.clock.advance(1)
    store.record(3)
    store.record(4)
    assert store.known(range(5)) == [1, 3, 4]


def test_a_use_is_noted_once_an_hour(store: Store) -> None:
    """A server that is asked for all the time costs a write each hour."""
    store.record(0)

    def used_ts() -> int:
        [[ts]] = store.execute("SELECT used_ts FROM known_names")
        return int(ts)

    first = used_ts()
    assert first == NOW * 1000
    for _ in range(57):
        store.clock.advance(61)  # for longer than keys are remembered
        result_of(store.peers.keys(name_of(0)))
        assert used_ts() == first
    store.clock.advance(120)
    result_of(store.peers.keys(name_of(0)))
    assert used_ts() == store.now_ts


def test_bytes_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes of what is stored count, not the names alone."""
    size = len(encode(store.document(0).document)) + 100
    monkeypatch.setattr(known_names, "MAX_BYTES", 2 * size + size // 2)
    for number in range(3):
        store.record(number)
        store.record(number)
    assert store.known(range(3)) == [1, 2]
    names, by_size, _ = store.peers.bounds
    assert (by_size.use(), by_size.refusals, names.refusals) == (2 * size, 1, 0)


def test_one_name_alone_is_never_too_much(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored now is not what goes for it."""
    monkeypatch.setattr(known_names, "MAX_BYTES", 10)
    store.record(0)
    assert store.known(range(1)) == [0]
    store.record(1)
    assert store.known(range(2)) == [1]


def test_who_is_owed_something_goes_last(store: Store) -> None:
    """A server for which something is queued is forgotten after all others."""
    for number, queued in (0, 1), (1, 0):
        store.execute(
            "INSERT INTO destinations (server_name, destination, queued)"
            f" VALUES ('{OUR_NAME}', 'n{number}.example', {queued}) RETURNING queued"
        )
    for number in range(4):
        store.record(number)
    assert store.known(range(4)) == [0, 2, 3]


def test_who_is_pinned_never_goes(store: Store) -> None:
    """A server whose certificate an operator trusts stays verified."""
    result_of(store.peers.certificate_pins.pin(name_of(0), "cd" * 32))
    for number in range(5):
        store.record(number)
    assert store.known(range(5)) == [0, 3, 4]


def test_who_is_forgotten_counts_no_more(store: Store) -> None:
    """An operator who forgets a server makes room for another one."""
    for number in range(3):
        store.record(number)
    assert result_of(store.peers.forget(name_of(2)))
    store.record(3)
    assert store.known(range(4)) == [0, 1, 3]


def test_queue_of_another_name_of_ours(store: Store) -> None:
    """A server is not kept for what another name of ours has queued for it."""
    store.execute(
        "INSERT INTO destinations (server_name, destination, queued)"
        f" VALUES ('{OTHER_NAME}', 'n0.example', 1) RETURNING queued"
    )
    for number in range(4):
        store.record(number)
    assert store.known(range(4)) == [1, 2, 3]


def test_pin_of_another_name_of_ours(store: Store) -> None:
    """A server is not kept for a certificate that another name of ours has pinned."""
    pins = CertificatePins(store.database, OTHER_NAME, store.clock)
    result_of(pins.pin(name_of(0), "cd" * 32))
    for number in range(4):
        store.record(number)
    assert store.known(range(4)) == [1, 2, 3]
