"""What is known of peers: their pins, and their keys, which are never forgotten."""

import sqlite3
from collections.abc import Mapping
from typing import TypeVar

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument, OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Job
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.server_keys import KeyConflict, StoredKey
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.tables import cases

_T = TypeVar("_T")

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


@pytest.fixture
def store(database: ImmediateDatabase) -> PeerStore:
    """A store that knows nobody."""
    return PeerStore(database, OUR_NAME, Clock())


def verified(
    store: PeerStore,
    verified_by: str,
    sha256: str,
    pins: Mapping[KeyId, VerifyKey],
    now_ts: int,
    server_name: ServerName = A,
) -> None:
    """Record that a peer was verified."""
    peer = Peer(server_name, verified_by, sha256, pins, now_ts, now_ts)
    assert result_of(store.record_verified(peer, None, None))


def keys_of(store: PeerStore, server_name: ServerName = A) -> Mapping[KeyId, StoredKey]:
    """The keys that are known of a server, whenever they were stored."""
    found = result_of(store.keys(server_name))
    return {key_id: replace(key, since_ts=None) for key_id, key in found.items()}


PINS: list[tuple[str, dict[KeyId, VerifyKey]]] = [
    ("none", {}),
    ("one", {K1: key(K1)}),
    ("two", {K1: key(K1, b"\0"), K2: key(K2, b"\xff")}),
]


@cases("pins", PINS)
def test_verified(store: PeerStore, pins: dict[KeyId, VerifyKey]) -> None:
    """A peer is what was recorded of it: how, by which certificate, with what pins."""
    verified(store, "key-document", "0a" * 32, pins, NOW)
    assert result_of(store.peer(A)) == Peer(
        A, "key-document", "0a" * 32, pins, NOW, NOW
    )


def test_verified_again(store: PeerStore) -> None:
    """What was proven last is known, and since when the peer is known."""
    verified(store, "key-document", "0a" * 32, {K1: key(K1)}, NOW)
    verified(store, "certificate", "0b" * 32, {K2: key(K2)}, NOW + 1)
    assert result_of(store.peer(A)) == Peer(
        A, "certificate", "0b" * 32, {K2: key(K2)}, NOW, NOW + 1
    )


def test_peers_are_told_apart_byte_for_byte(store: PeerStore) -> None:
    """What is known of one name is not known of any other."""
    verified(store, "certificate", "0a" * 32, {}, NOW)
    verified(store, "key-document", "0b" * 32, {}, NOW, B)
    assert result_of(store.peer(ServerName.parse("A.example"))) is None
    assert result_of(store.peer(ServerName.parse("a.example:8448"))) is None
    first, second = result_of(store.peer(A)), result_of(store.peer(B))
    assert first is not None
    assert second is not None
    assert (first.verified_by, second.verified_by) == ("certificate", "key-document")


def test_forget(store: PeerStore) -> None:
    """A peer that is forgotten was never verified; others stay."""
    verified(store, "certificate", "0a" * 32, {}, NOW)
    verified(store, "certificate", "0b" * 32, {}, NOW, B)
    result_of(store.record_keys(AT_ONCE, NOW))
    assert result_of(store.forget(A))
    assert not result_of(store.forget(A))
    assert result_of(store.peer(A)) is None
    assert result_of(store.peer(B)) is not None
    assert keys_of(store) == {}
    verified(store, "key-document", "0c" * 32, {}, NOW + 1)
    assert result_of(store.peer(A)) == Peer(
        A, "key-document", "0c" * 32, {}, NOW + 1, NOW + 1
    )


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
def test_validity(store: PeerStore, until: int | None, expected: int) -> None:
    """A key is good as long as its document says, but at most seven days."""
    result_of(store.record_keys(current(K1, K2, until=until), NOW))
    assert keys_of(store) == {
        K1: StoredKey(key(K1), expected, None),
        K2: StoredKey(key(K2), expected, None),
    }


OLD = OldVerifyKey(key(K1), NOW - HOUR)
AT_ONCE, LATER = current(K1, until=NOW), current(K1, until=NOW + HOUR)
ANOTHER = current(K1, until=NOW, content=b"x")

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
    store: PeerStore, documents: list[KeyDocument], expected: StoredKey
) -> None:
    """What is known of a key after several documents loses nothing that was known."""
    for document in documents:
        result_of(store.record_keys(document, NOW))
    assert keys_of(store)[K1] == expected


def test_another_key_under_a_stored_id_is_refused(store: PeerStore) -> None:
    """A document that contradicts a stored key changes nothing, and both are named."""
    result_of(store.record_keys(LATER, NOW))
    result_of(store.record_keys(retired(OldVerifyKey(key(K2), NOW)), NOW + 1000))
    stored = keys_of(store)
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
        assert result_of(store.conflict(contradiction)) == expected
        recording = store.record_keys(contradiction, NOW + HOUR)
        with pytest.raises(KeyConflict) as caught:
            result_of(recording)
        assert str(caught.value) == expected
        assert keys_of(store) == stored
    assert result_of(store.conflict(LATER)) is None
    assert result_of(store.conflict(current(K1, until=NOW, server_name=B))) is None


def test_forgetting_forgets_the_documents(
    store: PeerStore, database: ImmediateDatabase
) -> None:
    """The documents of a server that is forgotten are handed to no one any more."""
    result_of(store.record_keys(LATER, NOW))
    result_of(store.record_keys(current(K1, until=NOW, server_name=B), NOW))
    assert result_of(store.forget(A))
    documents = DocumentStore(database, OUR_NAME)
    assert result_of(documents.documents(A)) == []
    assert len(result_of(documents.documents(B))) == 1


def test_who_was_forgotten_meanwhile_is_not_verified(store: PeerStore) -> None:
    """A connection of before does not bring back a peer that was forgotten."""
    verified(store, "key-document", "0a" * 32, {K1: key(K1)}, NOW)
    known = result_of(store.peer(A))
    assert known is not None
    assert result_of(store.forget(A))
    assert not result_of(store.record_verified(known, known, current(K1, until=None)))
    assert result_of(store.peer(A)) is None
    assert keys_of(store) == {}


def test_current_and_old_keys(store: PeerStore) -> None:
    """A document's current and old keys are all known."""
    document = key_document(A, [signing_key(K2, b"k")], NOW + HOUR, [OLD])
    result_of(store.record_keys(document, NOW))
    assert keys_of(store) == {
        K1: StoredKey(key(K1), None, NOW - HOUR),
        K2: StoredKey(key(K2), NOW + HOUR, None),
    }
    assert keys_of(store, B) == {}


NOW_TS = 1_800_000_000_000


def document_of(*keys: SigningKey) -> KeyDocument:
    """A version 1 document that lists some keys."""
    return key_document(A, keys, None)


FIRST, SECOND = (signing_key(KeyId(f"ed25519:s_{n}")) for n in (1, 2))


def by_document(*keys: SigningKey) -> Peer:
    """A peer that is verified by a document that lists some keys."""
    pins = {key.key_id: key.verify_key for key in keys}
    return Peer(A, "key-document", "aa", pins, NOW_TS, NOW_TS)


def test_a_document_is_recorded_with_its_keys(store: PeerStore) -> None:
    """The keys of the document that verified a peer are there with the peer."""
    assert result_of(
        store.record_verified(by_document(FIRST), None, document_of(FIRST))
    )
    assert set(keys_of(store)) == {FIRST.key_id}


def test_two_first_uses_with_the_same_keys_hold(store: PeerStore) -> None:
    """Two connections that see the same document at the same time both hold."""
    for _ in range(2):
        assert result_of(
            store.record_verified(by_document(FIRST), None, document_of(FIRST))
        )


def test_of_two_first_uses_one_holds(store: PeerStore) -> None:
    """Of two connections that see different keys at the same time, the first holds."""
    result_of(store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    assert not result_of(
        store.record_verified(by_document(SECOND), None, document_of(SECOND))
    )
    peer = result_of(store.peer(A))
    assert peer is not None
    assert set(peer.pinned_keys) == set(keys_of(store)) == {FIRST.key_id}


def test_a_certificate_meanwhile_is_not_overruled(store: PeerStore) -> None:
    """Who became known by certificate meanwhile is not made a peer by document."""
    certified = Peer(A, "certificate", "bb", {}, NOW_TS, NOW_TS)
    assert result_of(store.record_verified(certified, None, None))
    assert not result_of(
        store.record_verified(by_document(FIRST), None, document_of(FIRST))
    )
    assert keys_of(store) == {}


def test_a_rotation_moves_the_pin(store: PeerStore) -> None:
    """Who knew the pin may replace it."""
    result_of(store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    assert result_of(
        store.record_verified(
            by_document(SECOND), by_document(FIRST), document_of(SECOND)
        )
    )


@pytest.mark.parametrize("how", ["forgotten", "certified"])
def test_keys_of_who_was_believed_too_early_are_forgotten(
    how: str, store: PeerStore
) -> None:
    """Forgetting a pin, or a certificate in its place, ends the keys that came so."""
    result_of(store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    if how == "forgotten":
        assert result_of(store.forget(A))
    else:
        certified = Peer(A, "certificate", "bb", {}, NOW_TS, NOW_TS)
        assert result_of(store.record_verified(certified, None, None))
    assert keys_of(store) == {}


def test_keys_of_who_is_verified_again_stay(store: PeerStore) -> None:
    """A peer that is verified as before keeps the keys that it has."""
    certified = Peer(A, "certificate", "bb", {}, NOW_TS, NOW_TS)
    result_of(store.record_verified(certified, None, None))
    result_of(store.record_keys(document_of(FIRST), NOW_TS))
    assert result_of(store.record_verified(certified, certified, None))
    assert keys_of(store)[FIRST.key_id].valid_until_ts == NOW_TS + MAX_VALIDITY_MS


def test_keys_of_a_rotated_pin_stay(store: PeerStore) -> None:
    """Who moved its pin keeps its earlier keys as long as they are good."""
    result_of(store.record_verified(by_document(FIRST), None, document_of(FIRST)))
    result_of(
        store.record_verified(
            by_document(SECOND), by_document(FIRST), document_of(SECOND)
        )
    )
    assert {key_id: k.valid_until_ts for key_id, k in keys_of(store).items()} == {
        FIRST.key_id: NOW_TS + MAX_VALIDITY_MS,
        SECOND.key_id: NOW_TS + MAX_VALIDITY_MS,
    }


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


def known(store: PeerStore, server_name: ServerName = A) -> list[KeyId]:
    """The key IDs that are known of a server."""
    return sorted(keys_of(store, server_name))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, store: PeerStore) -> PeerStore:
    """A store that keeps ten keys of a server."""
    monkeypatch.setattr("homeserver.storage.server_keys._MAX_KEYS", 10)
    return store


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


def test_a_hundred_keys_and_a_hundred_old_ones_are_kept(store: PeerStore) -> None:
    """A document as large as there may be pushes out none of its own keys."""
    ids = [parse_key_id(f"ed25519:k_{number}") for number in range(200)]
    old = [OldVerifyKey(key(key_id), NOW) for key_id in ids[100:]]
    keys = [signing_key(key_id) for key_id in ids[:100]]
    result_of(store.record_keys(key_document(A, keys, NOW + HOUR, old), NOW))
    assert known(store) == sorted(ids)


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
