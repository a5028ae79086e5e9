"""Which documents of a server are kept, and which ones a later one makes useless."""

import pytest

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import (
    KeyDocument,
    OldVerifyKey,
    build_v2,
    parse_v2,
)
from homeserver.protocol.signing import sign
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.key_documents import (
    DocumentStore,
    FetchedDocument,
    record_document,
)
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.our_names import OUR_NAME
from tests.support.tables import cases

A, B = map(ServerName.parse, ["a.example", "b.example"])
NOW = 1_600_000_000_000
HOUR = 3600 * 1000
K1, K2, K3 = (parse_key_id(f"ed25519:{number}") for number in "123")


def current(
    *key_ids: KeyId, until: int = NOW, seed: bytes = b"", server_name: ServerName = A
) -> KeyDocument:
    """A document of current keys."""
    keys = [signing_key(key_id, seed) for key_id in key_ids]
    return key_document(server_name, keys, until)


def retiring(*old: KeyId, by: KeyId, expired_ts: int = NOW) -> KeyDocument:
    """A document of one current key and old ones."""
    retired = [OldVerifyKey(signing_key(k).verify_key, expired_ts) for k in old]
    return key_document(A, [signing_key(by)], NOW, retired)


class Store:
    """The documents of servers, in a database of its own."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self._database = database
        self._documents = DocumentStore(database, OUR_NAME)

    def record(self, document: KeyDocument, now_ts: int = NOW) -> None:
        """Record a document that came now."""

        def job(cursor: Cursor) -> None:
            record_document(cursor, OUR_NAME, document, now_ts)

        result_of(self._database.write(job))

    def fetched(self, server_name: ServerName = A) -> list[FetchedDocument]:
        """What is known of the documents of a server."""
        return result_of(self._documents.documents(server_name))

    def read(self, fetched: FetchedDocument) -> Json | None:
        """A document itself."""
        return result_of(self._documents.read(fetched))

    def documents(self, server_name: ServerName = A) -> list[KeyDocument]:
        """The documents that are kept of a server."""
        return [
            parse_v2(encode(self.read(each)), server_name)
            for each in self.fetched(server_name)
        ]


@pytest.fixture
def store(database: ImmediateDatabase) -> Store:
    """A store that knows nobody."""
    return Store(database)


def test_a_document_is_kept_as_it_came(store: Store) -> None:
    """All members of a document are kept, those of another time and place too."""
    members: Json = {
        **build_v2(A, [], [], NOW),
        "verify_keys": {"ed25519:1": {"key": public(K1)}, "rsa:1": {"x": [None]}},
        "tls_fingerprints": [{"sha256": "AA\u65e5\U0001f511"}],
        "unsigned": {"age": 1},
        "signatures": {"b.example": {"ed25519:n": "AAEC"}, A.name: {"rsa:1": "x"}},
    }
    document = sign(members, A, [signing_key(K1)])
    store.record(parse_v2(encode(document), A))
    [found] = store.fetched()
    assert store.read(found) == document
    assert found.length == len(encode(document))


def test_what_is_known_without_reading(store: Store) -> None:
    """Of a document its keys, old ones too, its end and when it came are at hand."""
    store.record(retiring(K1, K3, by=K2), NOW + 5)
    [found] = store.fetched()
    assert found.keys == {key_id: public(key_id) for key_id in (K1, K2, K3)}
    assert (found.valid_until_ts, found.fetched_ts) == (NOW, NOW + 5)


def test_a_document_that_was_replaced_meanwhile(store: Store) -> None:
    """Who comes too late to read a document is told, and given no other one."""
    store.record(current(K1))
    [found] = store.fetched()
    store.record(current(K1, until=NOW + 1))
    assert store.read(found) is None


def public(key_id: KeyId) -> str:
    """The public half of a key, in base64."""
    return encode_base64(signing_key(key_id).verify_key.key)


# (name, the first document, the second one, whether the first is useless then)
PAIRS: list[tuple[str, KeyDocument, KeyDocument, bool]] = [
    ("the same", current(K1), current(K1), True),
    ("valid for longer", current(K1), current(K1, until=NOW + 1), True),
    ("valid for less", current(K1), current(K1, until=NOW - 1), False),
    ("one key more", current(K1), current(K1, K2), True),
    ("one key less", current(K1, K2), current(K1), False),
    ("another key", current(K1), current(K2), False),
    ("other bytes", current(K1), current(K1, seed=b"x"), False),
    (
        "other bytes, valid for longer",
        current(K1),
        current(K1, seed=b"x", until=NOW + HOUR),
        False,
    ),
    (
        "one key more, valid for less",
        current(K1, until=NOW + 1),
        current(K1, K2),
        False,
    ),
    (
        "one key less, valid for longer",
        current(K1, K2),
        current(K1, until=NOW + HOUR),
        False,
    ),
    ("given up", current(K1), retiring(K1, by=K2), True),
    ("given up, another forgotten", current(K1, K3), retiring(K1, by=K2), False),
    ("taken up again", retiring(K1, by=K2), current(K1, K2), True),
    ("an old key forgotten", retiring(K1, by=K2), current(K2), False),
    ("an old key of earlier", retiring(K1, by=K2), retiring(K1, K3, by=K2), True),
    ("another server's", current(K1, server_name=B), current(K1, K2), False),
]


@cases("first second is_useless", PAIRS)
def test_later_document(
    first: KeyDocument, second: KeyDocument, store: Store, *, is_useless: bool
) -> None:
    """A document goes when a later one lists all its keys and is valid for as long."""
    store.record(first, NOW)
    store.record(second, NOW + 1)
    expected = [second] if is_useless else [second, first]
    assert [*store.documents(), *store.documents(B)] == expected
    times = [each.fetched_ts for name in (A, B) for each in store.fetched(name)]
    assert times == [NOW + 1, NOW][: len(expected)]


def test_one_makes_many_useless(store: Store) -> None:
    """A document that lists the keys of several is kept in place of all of them."""
    for key_id in K1, K2, K3:
        store.record(current(key_id))
    assert len(store.documents()) == 3
    store.record(current(K1, K2))
    assert store.documents() == [current(K1, K2), current(K3)]


def test_those_that_came_last_are_first(store: Store) -> None:
    """The documents of a server are in the order in which they came, last first."""
    for key_id in K2, K3, K1:
        store.record(current(key_id))
    store.record(current(K3))  # which came again
    assert store.documents() == [current(K3), current(K1), current(K2)]


@pytest.mark.parametrize("count", [9, 10, 11, 25])
def test_there_are_ten_at_most(count: int, store: Store) -> None:
    """Of a server that changes its key again and again, the last ten are kept."""
    store.record(current(K1, server_name=B))
    key_ids = [parse_key_id(f"ed25519:many_{number}") for number in range(count)]
    for key_id in key_ids:
        store.record(current(key_id))
    assert store.documents() == [current(k) for k in reversed(key_ids[-10:])]
    assert store.documents(B) == [current(K1, server_name=B)]


def test_what_is_useless_makes_room(store: Store) -> None:
    """Where ten are kept, a document in place of one of them pushes out no other."""
    key_ids = [parse_key_id(f"ed25519:many_{number}") for number in range(10)]
    for key_id in key_ids:
        store.record(current(key_id))
    store.record(current(key_ids[9], until=NOW + 1))
    assert len(store.documents()) == 10
    store.record(current(key_ids[0], until=NOW + 1))
    assert len(store.documents()) == 10
    assert {k for each in store.documents() for k in each.verify_keys} == set(key_ids)


def test_names_are_told_apart_byte_for_byte(store: Store) -> None:
    """What is kept of one name is not of any other."""
    store.record(current(K1))
    for name in "A.example", "a.example:8448", "example":
        assert store.documents(ServerName.parse(name)) == []
