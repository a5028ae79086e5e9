"""Peers and keys that two processes record at the same moment."""

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument, OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.peers import Peer, PeerStore, _pins
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.our_names import OUR_NAME
from tests.support.slow_database import Slow, wait_until_blocked
from tests.support.tables import cases
from tests.support.threaded_databases import Store

A = ServerName.parse("a.example")
NOW = 1_600_000_000_000
KEY, OTHER_KEY = (signing_key(parse_key_id(f"ed25519:{n}")) for n in "12")


def by_document(key: SigningKey) -> tuple[Peer, None, KeyDocument]:
    """A first use: what is recorded of a peer that shows a document of `key`."""
    pins = {key.key_id: key.verify_key}
    return (
        Peer(A, "key-document", "aa", pins, NOW, NOW),
        None,
        key_document(A, [key], None),
    )


CERTIFIED = Peer(A, "certificate", "bb", {}, NOW, NOW)

# What another endpoint records first, and which key is pinned then.
FIRST_TO_COME: list[tuple[str, tuple[Peer, None, KeyDocument | None], set[str]]] = [
    ("certificate", (CERTIFIED, None, None), set()),
    ("another key", by_document(KEY), {KEY.key_id}),
]


@cases("first pinned", FIRST_TO_COME)
def test_of_two_endpoints_that_verify_a_peer_the_first_decides(
    store: Store,
    slow: Slow,
    first: tuple[Peer, None, KeyDocument | None],
    pinned: set[str],
) -> None:
    """Who is verified as somebody else at the same moment elsewhere is refused here."""
    assert result_of(PeerStore(slow, OUR_NAME, Clock()).record_verified(*first))
    peers = PeerStore(store.database, OUR_NAME, Clock())
    second = store.begin(peers.record_verified(*by_document(OTHER_KEY)))
    wait_until_blocked(store)
    slow.commit()
    assert not store.wait(second)
    peer = store.wait(store.begin(peers.peer(A)))
    assert peer is not None
    assert (peer.verified_by, set(peer.pinned_keys)) == (first[0].verified_by, pinned)
    assert set(store.wait(store.begin(peers.keys(A)))) == pinned


def test_a_peer_that_is_certified_meanwhile_is_not_made_one_by_document(
    store: Store, slow: Slow
) -> None:
    """What another endpoint makes of a peer that is known is not undone here."""
    there, here = (
        PeerStore(each, OUR_NAME, Clock()) for each in (slow, store.database)
    )
    known = by_document(KEY)
    result_of(there.record_verified(*known))
    slow.commit()
    result_of(there.record_verified(CERTIFIED, known[0], None))
    again = store.begin(here.record_verified(known[0], known[0], known[2]))
    wait_until_blocked(store)
    slow.commit()
    assert not store.wait(again)
    peer = store.wait(store.begin(here.peer(A)))
    assert peer is not None
    assert peer.verified_by == "certificate"


def test_a_peer_is_held_while_it_is_judged(
    slow: Slow, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at cannot be changed by others before it is acted on."""
    known = by_document(KEY)
    here = PeerStore(slow, OUR_NAME, Clock())
    result_of(here.record_verified(*known))
    slow.commit()
    other = Slow(f"{url}%20-clock_timeout%3D100")
    tried: list[bool] = []

    def look(text: str) -> dict[KeyId, VerifyKey]:
        try:
            there = PeerStore(other, OUR_NAME, Clock())
            result_of(there.record_verified(CERTIFIED, known[0], None))
        except StoreUnavailable as problem:
            tried.append("lock timeout" in str(problem))
        return _pins(text)

    monkeypatch.setattr("homeserver.storage.peers._pins", look)
    result_of(here.record_verified(known[0], known[0], known[2]))
    assert tried == [True]
    other.close()


def test_a_peer_that_is_forgotten_meanwhile_is_a_first_use(
    store: Store, slow: Slow
) -> None:
    """What another endpoint forgets at the same moment holds nobody up."""
    result_of(PeerStore(slow, OUR_NAME, Clock()).record_verified(*by_document(KEY)))
    slow.commit()
    assert result_of(PeerStore(slow, OUR_NAME, Clock()).forget(A))
    peers = PeerStore(store.database, OUR_NAME, Clock())
    second = store.begin(peers.record_verified(*by_document(OTHER_KEY)))
    wait_until_blocked(store)
    slow.commit()
    assert store.wait(second)


def test_keys_are_written_in_one_order(store: Store, slow: Slow) -> None:
    """Two endpoints that record the same keys, in whatever order, only wait."""
    there = PeerStore(slow, OUR_NAME, Clock())
    result_of(there.record_keys(key_document(A, [KEY, OTHER_KEY], NOW), NOW))
    slow.commit()
    result_of(there.record_keys(key_document(A, [KEY], NOW), NOW))
    old = [OldVerifyKey(KEY.verify_key, NOW)]
    document = key_document(A, [OTHER_KEY], NOW, old)
    second = store.begin(
        PeerStore(store.database, OUR_NAME, Clock()).record_keys(document, NOW)
    )
    wait_until_blocked(store)
    # Who waits for one row does not hold the other.
    held = result_of(
        slow.read(
            lambda cursor: cursor.execute(
                "SELECT key_id FROM server_keys FOR UPDATE SKIP LOCKED"
            ).fetchall()
        )
    )
    assert len(held) == 2
    slow.commit()
    store.wait(second)
