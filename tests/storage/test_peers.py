"""What is known of peers: how each was verified, its pins, and what forgets them."""

from collections.abc import Mapping

import pytest

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.peers import Peer, PeerStore
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.peer_keys import (
    AT_ONCE,
    FIRST,
    K1,
    K2,
    LATER,
    NOW,
    SECOND,
    A,
    B,
    by_document,
    current,
    document_of,
    key,
    keys_of,
)
from tests.support.tables import cases


def verified(
    peer_store: PeerStore,
    verified_by: str,
    sha256: str,
    pins: Mapping[KeyId, VerifyKey],
    now_ts: int,
    server_name: ServerName = A,
) -> None:
    """Record that a peer was verified."""
    peer = Peer(server_name, verified_by, sha256, pins, now_ts, now_ts)
    assert result_of(peer_store.record_verified(peer, None, None))


PINS: list[tuple[str, dict[KeyId, VerifyKey]]] = [
    ("none", {}),
    ("one", {K1: key(K1)}),
    ("two", {K1: key(K1, b"\0"), K2: key(K2, b"\xff")}),
]


@cases("pins", PINS)
def test_verified(peer_store: PeerStore, pins: dict[KeyId, VerifyKey]) -> None:
    """A peer is what was recorded of it: how, by which certificate, with what pins."""
    verified(peer_store, "key-document", "0a" * 32, pins, NOW)
    assert result_of(peer_store.peer(A)) == Peer(
        A, "key-document", "0a" * 32, pins, NOW, NOW
    )


def test_verified_again(peer_store: PeerStore) -> None:
    """What was proven last is known, and since when the peer is known."""
    verified(peer_store, "key-document", "0a" * 32, {K1: key(K1)}, NOW)
    verified(peer_store, "certificate", "0b" * 32, {K2: key(K2)}, NOW + 1)
    assert result_of(peer_store.peer(A)) == Peer(
        A, "certificate", "0b" * 32, {K2: key(K2)}, NOW, NOW + 1
    )


def test_peers_are_told_apart_byte_for_byte(peer_store: PeerStore) -> None:
    """What is known of one name is not known of any other."""
    verified(peer_store, "certificate", "0a" * 32, {}, NOW)
    verified(peer_store, "key-document", "0b" * 32, {}, NOW, B)
    assert result_of(peer_store.peer(ServerName.parse("A.example"))) is None
    assert result_of(peer_store.peer(ServerName.parse("a.example:8448"))) is None
    first, second = result_of(peer_store.peer(A)), result_of(peer_store.peer(B))
    assert first is not None
    assert second is not None
    assert (first.verified_by, second.verified_by) == ("certificate", "key-document")


def test_forget(peer_store: PeerStore) -> None:
    """A peer that is forgotten was never verified; others stay."""
    verified(peer_store, "certificate", "0a" * 32, {}, NOW)
    verified(peer_store, "certificate", "0b" * 32, {}, NOW, B)
    result_of(peer_store.record_keys(AT_ONCE, NOW))
    assert result_of(peer_store.forget(A))
    assert not result_of(peer_store.forget(A))
    assert result_of(peer_store.peer(A)) is None
    assert result_of(peer_store.peer(B)) is not None
    assert keys_of(peer_store) == {}
    verified(peer_store, "key-document", "0c" * 32, {}, NOW + 1)
    assert result_of(peer_store.peer(A)) == Peer(
        A, "key-document", "0c" * 32, {}, NOW + 1, NOW + 1
    )


def test_forgetting_forgets_the_documents(
    peer_store: PeerStore, database: ImmediateDatabase
) -> None:
    """The documents of a server that is forgotten are handed to no one any more."""
    result_of(peer_store.record_keys(LATER, NOW))
    result_of(peer_store.record_keys(current(K1, until=NOW, server_name=B), NOW))
    assert result_of(peer_store.forget(A))
    documents = DocumentStore(database, OUR_NAME)
    assert result_of(documents.documents(A)) == []
    assert len(result_of(documents.documents(B))) == 1


def test_who_was_forgotten_meanwhile_is_not_verified(peer_store: PeerStore) -> None:
    """A connection of before does not bring back a peer that was forgotten."""
    verified(peer_store, "key-document", "0a" * 32, {K1: key(K1)}, NOW)
    known = result_of(peer_store.peer(A))
    assert known is not None
    assert result_of(peer_store.forget(A))
    assert not result_of(
        peer_store.record_verified(known, known, current(K1, until=None))
    )
    assert result_of(peer_store.peer(A)) is None
    assert keys_of(peer_store) == {}


def test_a_document_is_recorded_with_its_keys(peer_store: PeerStore) -> None:
    """The keys of the document that verified a peer are there with the peer."""
    assert result_of(
        peer_store.record_verified(by_document(FIRST), None, document_of(FIRST))
    )
    assert set(keys_of(peer_store)) == {FIRST.key_id}


def test_two_first_uses_with_the_same_keys_hold(peer_store: PeerStore) -> None:
    """Two connections that see the same document at the same time both hold."""
    for _ in range(2):
        assert result_of(
            peer_store.record_verified(by_document(FIRST), None, document_of(FIRST))
        )


def test_of_two_first_uses_one_holds(peer_store: PeerStore) -> None:
    """Of two connections that see different keys at the same time, the first holds."""
    result_of(peer_store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    assert not result_of(
        peer_store.record_verified(by_document(SECOND), None, document_of(SECOND))
    )
    peer = result_of(peer_store.peer(A))
    assert peer is not None
    assert set(peer.pinned_keys) == set(keys_of(peer_store)) == {FIRST.key_id}


def test_a_certificate_meanwhile_is_not_overruled(peer_store: PeerStore) -> None:
    """Who became known by certificate meanwhile is not made a peer by document."""
    certified = Peer(A, "certificate", "bb", {}, NOW, NOW)
    assert result_of(peer_store.record_verified(certified, None, None))
    assert not result_of(
        peer_store.record_verified(by_document(FIRST), None, document_of(FIRST))
    )
    assert keys_of(peer_store) == {}


def test_a_rotation_moves_the_pin(peer_store: PeerStore) -> None:
    """Who knew the pin may replace it."""
    result_of(peer_store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    assert result_of(
        peer_store.record_verified(
            by_document(SECOND), by_document(FIRST), document_of(SECOND)
        )
    )


@pytest.mark.parametrize("how", ["forgotten", "certified"])
def test_keys_of_who_was_believed_too_early_are_forgotten(
    how: str, peer_store: PeerStore
) -> None:
    """Forgetting a pin, or a certificate in its place, ends the keys that came so."""
    result_of(peer_store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    if how == "forgotten":
        assert result_of(peer_store.forget(A))
    else:
        certified = Peer(A, "certificate", "bb", {}, NOW, NOW)
        assert result_of(peer_store.record_verified(certified, None, None))
    assert keys_of(peer_store) == {}


def test_keys_of_who_is_verified_again_stay(peer_store: PeerStore) -> None:
    """A peer that is verified as before keeps the keys that it has."""
    certified = Peer(A, "certificate", "bb", {}, NOW, NOW)
    result_of(peer_store.record_verified(certified, None, None))
    result_of(peer_store.record_keys(document_of(FIRST), NOW))
    assert result_of(peer_store.record_verified(certified, certified, None))
    assert keys_of(peer_store)[FIRST.key_id].valid_until_ts == NOW + MAX_VALIDITY_MS


def test_keys_of_a_rotated_pin_stay(peer_store: PeerStore) -> None:
    """Who moved its pin keeps its earlier keys as long as they are good."""
    result_of(peer_store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    result_of(
        peer_store.record_verified(
            by_document(SECOND), by_document(FIRST), document_of(SECOND)
        )
    )
    assert {key_id: k.valid_until_ts for key_id, k in keys_of(peer_store).items()} == {
        FIRST.key_id: NOW + MAX_VALIDITY_MS,
        SECOND.key_id: NOW + MAX_VALIDITY_MS,
    }
