"""The keys of other servers: until when each is good, and which ones are kept."""

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument, OldVerifyKey
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.peers import PeerStore
from homeserver.storage.server_keys import KeyConflict, StoredKey
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.our_names import OUR_NAME
from tests.support.peer_keys import (
    AT_ONCE,
    HOUR,
    K1,
    K2,
    K3,
    LATER,
    NOW,
    A,
    B,
    current,
    key,
    keys_of,
    retired,
)
from tests.support.tables import cases

# (name, until when the document says, until when its key is good from NOW on)
VALIDITIES: list[tuple[str, int | None, int]] = [
    ("version 1", None, NOW + MAX_VALIDITY_MS),
    ("an hour", NOW + HOUR, NOW + HOUR),
    ("seven days", NOW + MAX_VALIDITY_MS, NOW + MAX_VALIDITY_MS),
    ("longer", NOW + MAX_VALIDITY_MS + 1, NOW + MAX_VALIDITY_MS),
    ("for ever", 2**53 - 1, NOW + MAX_VALIDITY_MS),
    ("expired", NOW - HOUR, NOW - HOUR),
]


@cases("until expected", VALIDITIES)
def test_validity(peer_store: PeerStore, until: int | None, expected: int) -> None:
    """A key is good as long as its document says, but at most seven days."""
    result_of(peer_store.record_keys(current(K1, K2, until=until), NOW))
    assert keys_of(peer_store) == {
        K1: StoredKey(key(K1), expected, None),
        K2: StoredKey(key(K2), expected, None),
    }


OLD = OldVerifyKey(key(K1), NOW - HOUR)

# (name, documents in the order of recording, what is known then)
SEQUENCES: list[tuple[str, list[KeyDocument], StoredKey]] = [
    ("longer", [AT_ONCE, LATER], StoredKey(key(K1), NOW + HOUR, None)),
    ("shorter", [LATER, AT_ONCE], StoredKey(key(K1), NOW + HOUR, None)),
    ("the same", [LATER, LATER], StoredKey(key(K1), NOW + HOUR, None)),
    # What is stored stays.
    (
        "another old key",
        [LATER, retired(OldVerifyKey(key(K1, b"x"), NOW))],
        StoredKey(key(K1), NOW + HOUR, None),
    ),
    ("retired", [LATER, retired(OLD)], StoredKey(key(K1), None, NOW - HOUR)),
    ("in use again", [retired(OLD), AT_ONCE], StoredKey(key(K1), NOW, None)),
    (
        "expired later",
        [retired(OLD), retired(OldVerifyKey(key(K1), NOW))],
        StoredKey(key(K1), None, NOW),
    ),
    # A key is never forgotten.
    (
        "not listed any more",
        [LATER, current(K2, until=NOW + HOUR)],
        StoredKey(key(K1), NOW + HOUR, None),
    ),
    (
        "old and not listed any more",
        [retired(OLD), current(K2, until=NOW + HOUR)],
        StoredKey(key(K1), None, NOW - HOUR),
    ),
    (
        "of another server",
        [AT_ONCE, current(K1, until=NOW + HOUR, content=b"x", server_name=B)],
        StoredKey(key(K1), NOW, None),
    ),
]


@cases("documents expected", SEQUENCES)
def test_sequence(
    peer_store: PeerStore, documents: list[KeyDocument], expected: StoredKey
) -> None:
    """What is known of a key after several documents loses nothing that was known."""
    for document in documents:
        result_of(peer_store.record_keys(document, NOW))
    assert keys_of(peer_store)[K1] == expected


def test_another_key_under_a_stored_id_is_refused(peer_store: PeerStore) -> None:
    """A document that contradicts a stored key changes nothing, and both are named."""
    result_of(peer_store.record_keys(LATER, NOW))
    result_of(peer_store.record_keys(retired(OldVerifyKey(key(K2), NOW)), NOW + 1000))
    stored = keys_of(peer_store)
    for contradiction, key_id, since in [
        (current(K1, K3, until=NOW + HOUR, content=b"x"), K1, "2020-09-13 12:26:40"),
        (current(K2, until=NOW + HOUR, content=b"x"), K2, "2020-09-13 12:26:41"),
    ]:
        expected = (
            f"{key_id} of a.example is {encode_base64(key(key_id, b'x').key)} now, and "
            f"was stored as {encode_base64(key(key_id).key)} since {since} UTC: the "
            "server was rebuilt with a new key under the old ID, or it is another "
            "server; `homeserver peers --forget a.example` forgets the stored key"
        )
        assert result_of(peer_store.conflict(contradiction)) == expected
        recording = peer_store.record_keys(contradiction, NOW + HOUR)
        with pytest.raises(KeyConflict) as caught:
            result_of(recording)
        assert str(caught.value) == expected
        assert keys_of(peer_store) == stored
    assert result_of(peer_store.conflict(LATER)) is None
    assert result_of(peer_store.conflict(current(K1, until=NOW, server_name=B))) is None


def test_current_and_old_keys(peer_store: PeerStore) -> None:
    """A document's current and old keys are all known."""
    document = key_document(A, [signing_key(K2, b"k")], NOW + HOUR, [OLD])
    result_of(peer_store.record_keys(document, NOW))
    assert keys_of(peer_store) == {
        K1: StoredKey(key(K1), None, NOW - HOUR),
        K2: StoredKey(key(K2), NOW + HOUR, None),
    }
    assert keys_of(peer_store, B) == {}


@pytest.mark.parametrize("until", [NOW, None], ids=["version 2", "version 1"])
def test_documents_of_version_2_are_recorded(
    database: ImmediateDatabase, until: int | None
) -> None:
    """A version 2 document is there itself with its keys; one of version 1 is not."""
    document = current(K1, until=until)
    result_of(PeerStore(database, OUR_NAME, Clock()).record_keys(document, NOW))
    documents = DocumentStore(database, OUR_NAME)
    read = [result_of(documents.read(d)) for d in result_of(documents.documents(A))]
    assert read == [document.document] * (until is not None)


MANY = [parse_key_id(f"ed25519:many_{number:02}") for number in range(12)]


def known(peer_store: PeerStore, server_name: ServerName = A) -> list[KeyId]:
    """The key IDs that are known of a server."""
    return sorted(keys_of(peer_store, server_name))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, peer_store: PeerStore) -> PeerStore:
    """A store that keeps ten keys of a server."""
    monkeypatch.setattr("homeserver.storage.server_keys._MAX_KEYS", 10)
    return peer_store


def test_few_keys_of_a_server_are_kept(small: PeerStore) -> None:
    """Of a server with ever new keys, those that were good last are kept."""
    result_of(small.record_keys(current(K1, until=NOW, server_name=B), NOW))
    for number, key_id in enumerate(MANY):
        result_of(small.record_keys(current(key_id, until=NOW + number), NOW))
    assert known(small) == MANY[2:]
    assert known(small, B) == [K1]
    # What is good for longer does not make room for what is not.
    result_of(small.record_keys(current(K1, until=NOW), NOW))
    assert known(small) == MANY[2:]


def test_old_keys_count_by_their_end(small: PeerStore) -> None:
    """An old key is kept by when it was given up, among those that are current."""
    for number, key_id in enumerate(MANY[:9]):
        result_of(small.record_keys(current(key_id, until=NOW + 10 + number), NOW))
    for old, count in [(NOW + 9, 8), (NOW + 20, 8)]:
        # With the one that signs, these are eleven: one is too many.
        result_of(small.record_keys(retired(OldVerifyKey(key(K1), old)), NOW + 30))
        assert len(known(small)) == 10
        assert K1 in known(small)
        assert len([k for k in known(small) if k in MANY]) >= count


def test_a_hundred_keys_and_a_hundred_old_ones_are_kept(peer_store: PeerStore) -> None:
    """A document as large as there may be pushes out none of its own keys."""
    ids = [parse_key_id(f"ed25519:k_{number}") for number in range(200)]
    old = [OldVerifyKey(key(key_id), NOW) for key_id in ids[100:]]
    keys = [signing_key(key_id) for key_id in ids[:100]]
    result_of(peer_store.record_keys(key_document(A, keys, NOW + HOUR, old), NOW))
    assert known(peer_store) == sorted(ids)
