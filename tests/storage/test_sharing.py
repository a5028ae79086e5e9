"""Several processes that share a store: nobody misses anything, or undoes another's."""

from collections.abc import Iterable, Iterator
from threading import Barrier, Thread
from typing import TypeVar

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument, OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey
from homeserver.storage.engine.interface import Cursor, Database, Job, StoreUnavailable
from homeserver.storage.engine.postgres import connect
from homeserver.storage.migrations.migrate import _scripts, migrate
from homeserver.storage.notifier import Changes
from homeserver.storage.peers import Peer, PeerStore, _pins
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import Server
from tests.support.tables import cases
from tests.support.threaded_databases import LIMIT, Store, insert, rooms

_T = TypeVar("_T")

A = ServerName.parse("a.example")
NOW = 1_600_000_000_000


@pytest.fixture
def url(postgres: Server) -> str:
    """Where an empty store is."""
    return postgres.new_store()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A process that shares it."""
    store = Store(url)
    yield store
    store.close()


class Slow:
    """Another process, which has written and not committed yet."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`, without the commit."""
        self._connection.begin()
        return job(self._connection.cursor())

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        return job(self._connection.cursor())

    async def settle(self) -> None:
        """As `Database.settle`: who reads sees what is on the disk."""

    def commit(self) -> None:
        """Commit at last."""
        self._connection.commit()

    def close(self) -> None:
        """Undo what was not committed."""
        self._connection.close()


@pytest.fixture
def slow(url: str, store: Store) -> Iterator[Slow]:
    """Another process that shares the store."""
    slow = Slow(url)
    yield slow
    slow.close()


def transaction(txn_id: str, reply: bytes = b"{}") -> ReceivedTransaction:
    """A transaction of A."""
    return ReceivedTransaction(A, txn_id, NOW, "ed25519:a", None, [], [], [], reply)


def received(database: Database) -> ReceivedStore:
    """The received transactions in a store."""
    return ReceivedStore(database, OUR_NAME, Changes(Clock()))


def wait_until_blocked(store: Store) -> None:
    """Wait until the writer of `store` waits for a row that somebody holds."""
    store.start()
    own = store.other()
    try:
        for _ in range(int(LIMIT * 100)):
            waiting = own.cursor().execute(
                "SELECT count(*), pg_sleep(0.01) FROM pg_locks WHERE NOT granted"
            )
            if waiting.fetchone()[0]:
                return
    finally:
        own.close()
    pytest.fail("nobody waits")


def listed(store: Store) -> list[object]:
    """The transaction IDs in the order of their IDs."""
    return [
        each.txn_id
        for each in store.wait(
            store.begin(received(store.database).after(0, None, 9, 0))
        )
    ]


def test_a_transaction_at_two_endpoints_is_recorded_once(
    store: Store, slow: Slow
) -> None:
    """Both answer with the bytes of the one that recorded it."""
    first = result_of(received(slow).record(transaction("1", b"first")))
    second = store.begin(received(store.database).record(transaction("1", b"second")))
    wait_until_blocked(store)
    assert not second.called
    slow.commit()
    assert (first, store.wait(second)) == (b"first", b"first")
    assert listed(store) == ["1"]


def test_no_id_is_seen_after_a_larger_one(store: Store, slow: Slow) -> None:
    """A transaction that is not committed yet keeps later ones from being seen."""
    result_of(received(slow).record(transaction("first")))
    second = store.begin(received(store.database).record(transaction("second")))
    wait_until_blocked(store)
    assert listed(store) == []
    slow.commit()
    store.wait(second)
    assert listed(store) == ["first", "second"]


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


def crossing(names: Iterable[str], begun: Barrier) -> Job[str]:
    """A job that holds a row, waits until somebody holds another, and wants that."""
    first, second = names
    has_met: list[bool] = []

    def job(cursor: Cursor) -> str:
        update = "UPDATE rooms SET room_version = '2' WHERE room_id = ?"
        cursor.execute(update, (first,))
        if not has_met:
            has_met.append(True)
            begun.wait(LIMIT)
        cursor.execute(update, (second,))
        return first

    return job


def test_who_waits_for_each_other_both_succeed(store: Store, url: str) -> None:
    """Of two groups that hold what the other wants, one is undone and run again."""
    store.write(insert("a"))
    store.write(insert("b"))
    other, begun = Store(url), Barrier(2)
    here = store.begin_write(crossing("ab", begun))
    there = other.begin_write(crossing("ba", begun))
    other.start()
    assert (store.wait(here), other.wait(there)) == ("a", "b")
    other.close()


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_conflict_is_tried_again(store: Store, code: str) -> None:
    """What PostgreSQL gives up in favour of others is run again."""
    left = [1, 2]

    def job(cursor: Cursor) -> str:
        insert("a")(cursor)
        if left:
            left.pop()
            cursor.execute(f"DO 'BEGIN RAISE SQLSTATE ''{code}''; END'")
        return "done"

    assert store.write(job) == "done"
    assert store.read(rooms) == ["a"]


def test_a_row_that_is_held_for_ever(url: str) -> None:
    """Nobody waits for ever for a row; who wants it is told, and others go on."""
    holder, store = Slow(url), Store(f"{url}%20-clock_timeout%3D100")
    result_of(received(holder).record(transaction("1")))
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        store.wait(store.begin(received(store.database).record(transaction("2"))))
    holder.close()
    store.wait(store.begin(received(store.database).record(transaction("2"))))
    assert listed(store) == ["2"]
    store.close()


def test_who_stands_still_loses_what_it_holds(store: Store, url: str) -> None:
    """An endpoint that is frozen within a transaction is thrown out of it."""
    frozen = Slow(f"{url}%20-cidle_in_transaction_session_timeout%3D100")
    result_of(received(frozen).record(transaction("frozen")))
    store.wait(store.begin(received(store.database).record(transaction("2"))))
    with pytest.raises(StoreUnavailable):
        frozen.commit()
    assert listed(store) == ["2"]
    frozen.close()


SETTINGS = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("lock_timeout", "15s"),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_setting(postgres: Server, url: str, name: str, value: str) -> None:
    """A commit is on the disk whatever the server's default, and no wait is endless."""
    with postgres.altered("synchronous_commit", "off"):
        store = Store(url)

    def job(cursor: Cursor) -> object:
        return cursor.execute(f"SHOW {name}").fetchone()[0]

    assert (store.write(job), store.read(job)) == (value, value)
    store.close()


def test_endpoints_that_start_together(postgres: Server, url: str) -> None:
    """Of several that find an empty store, one makes the schema; the others wait."""
    problems: list[BaseException] = []
    begun = Barrier(4)

    def start() -> None:
        try:
            connection = connect(url)
            begun.wait(LIMIT)
            migrate(connection, OUR_NAME)
            assert connection.load_version() == max(_scripts())
            connection.close()
        except BaseException as problem:  # noqa: BLE001 - shown by the assertion
            problems.append(problem)

    threads = [Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
