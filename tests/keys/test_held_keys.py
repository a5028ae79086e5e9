"""Keys that have proven nothing yet are held within bounds."""

import pytest
from twisted.internet.task import Clock

from homeserver.keys import held_keys
from homeserver.keys.held_keys import HeldKeys, HeldLimits
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument
from homeserver.storage.server_keys import StoredKey
from tests.support.keyrings import HOUR, K1, K2, NOW, A, B, document, key

C = ServerName.parse("c.example")


class Holding:
    """What is held, at a time that the test lets pass."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW / 1000)
        self.limits = HeldLimits()
        self.keys = HeldKeys(self.clock, self.limits)

    def hold(self, held: KeyDocument) -> None:
        """Hold a document that came over a verified connection."""
        peer = VerifiedPeer(held.server_name, "certificate", b"DER")
        self.keys.hold(held, peer)

    def names(self) -> list[ServerName]:
        """The servers of which something is held, out of three."""
        return [name for name in (A, B, C) if self.keys.find(name) is not None]


def test_keys_as_they_would_be_stored() -> None:
    """What is held has the validity of the time at which it came."""
    holding = Holding()
    holding.hold(document(K2, until=2**53 - 1, old=[(K1, NOW - HOUR)]))
    holding.clock.advance(100)
    held = holding.keys.find(A)
    assert held is not None
    assert held.keys() == {
        K2: StoredKey(key(K2), NOW + MAX_VALIDITY_MS, None),
        K1: StoredKey(key(K1), None, NOW - HOUR),
    }


def test_what_is_taken_is_held_no_more() -> None:
    """A document is taken once."""
    holding = Holding()
    holding.hold(document(K1))
    assert holding.keys.take(B) is None
    assert holding.keys.take(A) is not None
    assert holding.keys.take(A) is None
    assert holding.names() == []


def test_an_hour() -> None:
    """What is held is fetched again after an hour."""
    holding = Holding()
    holding.hold(document(K1))
    holding.clock.advance(3599)
    assert holding.names() == [A]
    holding.clock.advance(1)
    assert holding.names() == []


def test_servers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came first is pushed out first; what comes again counts as new."""
    monkeypatch.setattr(held_keys, "_MAX_SERVERS", 2)
    holding = Holding()
    for name in A, B, A, C:
        holding.hold(document(K1, server_name=name))
    assert holding.names() == [A, C]
    servers, size = holding.limits.bounds
    assert (servers.use(), servers.limit, servers.refusals) == (2, 2, 1)
    assert size.refusals == 0


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes of all documents count, and of a new one those that it replaces not."""
    size = len(encode(document(K1).document)) + len(b"DER")
    monkeypatch.setattr(held_keys, "_MAX_BYTES", 2 * size)
    holding = Holding()
    for name in A, A, A, B:
        holding.hold(document(K1, server_name=name))
    assert holding.names() == [A, B]
    holding.hold(document(K1, server_name=C))
    assert holding.names() == [B, C]
    servers, by_size = holding.limits.bounds
    assert (by_size.use(), by_size.limit, by_size.refusals) == (2 * size, 2 * size, 1)
    assert servers.refusals == 0
    holding.keys.take(B)
    holding.hold(document(K1))
    assert holding.names() == [A, C]


def test_flood_to_one_of_our_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes and the servers that one holds are at no other's cost."""
    size = len(encode(document(K1).document)) + len(b"DER")
    monkeypatch.setattr(held_keys, "_MAX_BYTES", 4 * size)
    few, flooded = Holding(), Holding()
    flooded.keys = HeldKeys(flooded.clock, few.limits)
    few.hold(document(K1))
    for number in range(20):
        name = ServerName.parse(f"n{10 + number}.example")
        flooded.hold(document(K1, server_name=name))
    assert few.names() == [A]
    assert few.limits.servers.use <= 4
    assert few.limits.by_size.use() <= 4 * size
