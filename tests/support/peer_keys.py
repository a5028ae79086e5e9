"""Keys of other servers, and the documents that list them, as a store learns them."""

from collections.abc import Mapping

from msgspec.structs import replace

from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument, OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.server_keys import StoredKey
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key

A, B = map(ServerName.parse, ["a.example", "b.example"])
NOW = 1_600_000_000_000
HOUR = 3600 * 1000
K1, K2, K3 = (parse_key_id(f"ed25519:{number}") for number in "123")


SIGNER = signing_key(parse_key_id("ed25519:signer"))
"""For documents that list nothing else that could sign them."""


def key(key_id: KeyId, content: bytes = b"k") -> VerifyKey:
    """The public half of a signing key."""
    return signing_key(key_id, content).verify_key


def current(
    *key_ids: KeyId,
    until: int | None,
    content: bytes = b"k",
    server_name: ServerName = A,
) -> KeyDocument:
    """A document of current keys, which says until when; None: version 1."""
    keys = [signing_key(key_id, content) for key_id in key_ids]
    return key_document(server_name, keys, until)


def retired(*old: OldVerifyKey) -> KeyDocument:
    """A document of old keys, and of one that signs it."""
    return key_document(A, [SIGNER], NOW, old)


def keys_of(store: PeerStore, server_name: ServerName = A) -> Mapping[KeyId, StoredKey]:
    """The keys that are known of a server, whenever they were stored."""
    found = result_of(store.keys(server_name))
    return {key_id: replace(key, since_ts=None) for key_id, key in found.items()}


AT_ONCE, LATER = current(K1, until=NOW), current(K1, until=NOW + HOUR)


def document_of(*keys: SigningKey) -> KeyDocument:
    """A version 1 document that lists some keys."""
    return key_document(A, keys, None)


FIRST, SECOND = (signing_key(KeyId(f"ed25519:s_{n}")) for n in (1, 2))


def by_document(*keys: SigningKey) -> Peer:
    """A peer that is verified by a document that lists some keys."""
    pins = {key.key_id: key.verify_key for key in keys}
    return Peer(A, "key-document", "aa", pins, NOW, NOW)
