"""What is known of other servers, listed in pages."""

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.storage.certificate_pins import CertificatePins
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.known_peers import KnownPeer, KnownPeers
from homeserver.storage.outbox.progress import QueueSummary
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.server_keys import StoredKey
from tests.support.coroutines import result_of
from tests.support.endpoint_store import NOW, A, B, C, Endpoint, StoreTime
from tests.support.key_documents import key_document, signing_key
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

K1, K2 = (signing_key(KeyId(f"ed25519:{n}")) for n in "12")


class Book:
    """A store with facts about other servers."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self.own = Endpoint(database, StoreTime())
        self.peers = PeerStore(database, OUR_NAME, Clock())
        self.known = KnownPeers(database, OUR_NAME)
        self._pins = CertificatePins(database, OUR_NAME, Clock())

    def verify(self, name: ServerName) -> Peer:
        """Let a server be verified by its key document."""
        peer = Peer(name, "key-document", "ab", {K1.key_id: K1.verify_key}, 1, 2)
        assert result_of(self.peers.record_verified(peer, None, None))
        return peer

    def pin(self, name: ServerName) -> None:
        """Pin a certificate of a server."""
        result_of(self._pins.pin(name, "cd"))

    def page(self, after: ServerName | None = None, limit: int = 10) -> list[KnownPeer]:
        """A page."""
        return result_of(self.known.page(after, limit))

    def names(self, after: ServerName | None = None, limit: int = 10) -> list[str]:
        """The names on a page."""
        return [peer.name.name for peer in self.page(after, limit)]


@pytest.fixture
def book(database: ImmediateDatabase) -> Book:
    """An empty store."""
    return Book(database)


def test_nothing_is_known(book: Book) -> None:
    """Where nothing is known, no page has a peer, and none is found."""
    assert book.page() == []
    assert result_of(book.known.find(A)) is None


def test_all_that_is_known(book: Book) -> None:
    """A peer is listed with each fact, as it is found by its name."""
    verified = book.verify(A)
    book.pin(A)
    result_of(book.peers.record_keys(key_document(A, [K1, K2], NOW), NOW - 5))
    entry = book.own.add(A, 1)
    [pending] = book.own.lease()
    book.own.fail(pending, lambda _: 9.0)
    keys = {
        key.key_id: StoredKey(key.verify_key, NOW, None, NOW - 5) for key in (K1, K2)
    }
    summary = QueueSummary(
        queued=1,
        oldest_id=entry,
        failures=1,
        next_attempt_ts=NOW + 9000,
        last_error="no",
    )
    expected = KnownPeer(A, verified, "cd", summary, keys)
    assert book.page() == [expected]
    assert result_of(book.known.find(A)) == expected


def test_each_reason_to_be_listed(book: Book) -> None:
    """A server is listed once, for whatever is known of it but its keys alone."""
    keys_alone = ServerName.parse("keys.example")
    book.verify(A)
    book.pin(B)
    book.own.add(C, 1)
    book.pin(C)
    result_of(book.peers.record_keys(key_document(keys_alone, [K1], NOW), NOW))
    verified, pinned, queued = book.page()
    assert verified == KnownPeer(A, book.verify(A), None, None, {})
    assert pinned == KnownPeer(B, None, "cd", None, {})
    assert (queued.name, queued.pinned_certificate_sha256) == (C, "cd")
    found = result_of(book.known.find(keys_alone))
    assert found is not None
    assert set(found.keys) == {K1.key_id}


def test_delivered_and_rejected(book: Book) -> None:
    """A destination is listed while something is queued, or was rejected."""
    for destination in (A, B):
        book.own.add(destination, 1)
    first, second = book.own.lease()
    assert book.names() == [A.name, B.name]
    book.own.deliver(first)
    book.own.reject(second)
    assert book.names() == [B.name]


def test_pages(book: Book) -> None:
    """Pages are in the order of the names, and together they have each peer once."""
    names = [ServerName.parse(f"s{number:02}.example") for number in range(9)]
    for number, name in enumerate(reversed(names)):
        [book.verify, book.pin, lambda name: book.own.add(name, 1)][number % 3](name)
    for limit in (1, 2, 3, 9, 20):
        found: list[str] = []
        after = None
        while page := book.names(after, limit):
            assert len(page) <= limit
            found += page
            after = ServerName.parse(page[-1])
        assert found == [name.name for name in names]


def test_time_of_a_key(book: Book) -> None:
    """A key is known since it came first; None stands for a time not recorded."""
    result_of(book.peers.record_keys(key_document(A, [K1], NOW), NOW))
    result_of(book.peers.record_keys(key_document(A, [K1, K2], NOW), NOW + 5))
    found = result_of(book.known.find(A))
    assert found is not None
    times = {key_id: known.since_ts for key_id, known in found.keys.items()}
    assert times == {K1.key_id: NOW, K2.key_id: NOW + 5}
    book.own.rows("UPDATE server_keys SET since_ts = 0 RETURNING 1")
    found = result_of(book.known.find(A))
    assert found is not None
    assert {known.since_ts for known in found.keys.values()} == {None}


def test_page_takes_two_statements() -> None:
    """The number of statements does not grow with that of the peers."""
    database = MemoryDatabase()
    book = Book(database)
    for number in range(20):
        book.verify(ServerName.parse(f"s{number}.example"))
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    assert len(book.page(limit=20)) == 20
    assert len(statements) == 2
