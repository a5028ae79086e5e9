"""Forgetting what is stored, by kind and by name."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import ServerName
from homeserver.storage import forgetting
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.forgetting import StoredState
from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.retention import OUTCOMES, RetentionStore
from tests.support.coroutines import result_of
from tests.support.named_stores import DOWN, NOW, PEER, ROOM, House, transaction
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.queue_summaries import queue_summary

_T = TypeVar("_T")

Call = Coroutine[Deferred[Any], Any, _T]

LATER = NOW + 100_000


class Rooms:
    """The stores of two names, each filled, and what forgets."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self.clock = Clock()
        self.clock.advance(NOW / 1000)
        memory = PeerMemory(self.clock)
        self.ours, self.others = (
            House(database, name, memory) for name in (OUR_NAME, OTHER_NAME)
        )
        for house in (self.ours, self.others):
            house.fill()
        self.state = StoredState(database, lambda _: LATER, self.clock)
        self.retention = RetentionStore(database, lambda _: LATER)
        self.forgotten: list[tuple[ServerName, ServerName]] = []

    def done(self, call: Call[_T]) -> _T:
        """What a call returns, which others have their turn during."""
        results: list[_T] = []
        Deferred.fromCoroutine(call).addCallback(results.append)
        for _ in range(1000):
            if results:
                return results[0]
            self.clock.advance(0)
        raise AssertionError("the call does not end")

    def call(self, kind: str, own: ServerName | None) -> int:
        """Forget one kind."""
        method = getattr(self.state, f"forget_{kind}")
        if kind in {"pins", "keys"}:
            return int(
                self.done(method(own, lambda *pair: self.forgotten.append(pair)))
            )
        return int(self.done(method(own)))

    def lease(self, *names: ServerName) -> list[PendingTransaction]:
        """Lease what is due for these names."""
        clock, serves = (lambda _: LATER - 1000), names.__contains__
        self.leases = DestinationLeases(
            self.ours.database, serves, clock, "z", 60.0, is_shared=True
        )
        return list(result_of(self.leases.lease(Quota(9, 9), ())).transactions)


@pytest.fixture
def rooms(database: ImmediateDatabase) -> Rooms:
    """Two names, each with something of each kind."""
    return Rooms(database)


# (kind, the tables that it empties, what is counted)
KINDS = [
    ("received", {"received_transactions", "received_pdus", "rooms"}, 1),
    ("refused", {"refusals"}, 1),
    ("queue", {"destinations", "outbound_entries", "outbound_transactions"}, 4),
    ("pins", {"peers", "certificate_pins"}, 1),
    ("keys", {"server_keys", "key_documents"}, 1),
]


@pytest.mark.parametrize(("kind", "tables", "count"), KINDS)
def test_one_name(rooms: Rooms, kind: str, tables: set[str], count: int) -> None:
    """All of the kind goes, nothing else does, and nothing of another name."""
    before, others = rooms.ours.rows(), rooms.others.rows()
    assert rooms.call(kind, OUR_NAME) == count
    after = rooms.ours.rows()
    for table, rows in before.items():
        if table in tables:
            assert after[table] == []
        elif table != "known_names":
            assert after[table] == rows
    assert rooms.others.rows() == others
    assert rooms.call(kind, OUR_NAME) == 0


@pytest.mark.parametrize(("kind", "tables", "count"), KINDS)
def test_all_names(rooms: Rooms, kind: str, tables: set[str], count: int) -> None:
    """Without a name, the kind goes of each name."""
    assert rooms.call(kind, None) == 2 * count
    for house in (rooms.ours, rooms.others):
        assert {table for table, rows in house.rows().items() if not rows} >= tables


@pytest.mark.parametrize("kinds", [("pins", "keys"), ("keys", "pins")])
def test_known_names_go_with_the_last_of_them(
    rooms: Rooms, kinds: tuple[str, str]
) -> None:
    """The bound counts what is left of a server, and its name as long as that."""
    sizes = []
    for kind in kinds:
        [row] = rooms.ours.rows()["known_names"]
        sizes.append(row[-1])
        rooms.call(kind, OUR_NAME)
    assert sizes[0] > sizes[1] > 0
    assert rooms.ours.rows()["known_names"] == []
    assert rooms.forgotten == [(OUR_NAME, PEER)] * 2


@pytest.mark.parametrize("kind", [kind for kind, *_ in KINDS])
def test_small_steps(rooms: Rooms, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows there are, they go in steps, between which others write."""
    monkeypatch.setattr(forgetting, "STEP", 1)
    monkeypatch.setattr(forgetting, "_SMALL_STEP", 1)
    found: list[object] = []
    method = getattr(rooms.state, f"forget_{kind}")
    Deferred.fromCoroutine(method(None)).addCallback(found.append)
    assert found == []
    result_of(rooms.ours.peers.peer(PEER))
    while not found:
        rooms.clock.advance(0)
    assert rooms.call(kind, None) == 0


def test_what_comes_meanwhile_stays(rooms: Rooms) -> None:
    """What is received while the rest is forgotten is not."""
    found: list[object] = []
    forget = rooms.state.forget_received(None)
    Deferred.fromCoroutine(forget).addCallback(found.append)
    result_of(rooms.ours.received.record(transaction(b"again")))
    while not found:
        rooms.clock.advance(0)
    [row] = rooms.ours.rows()["received_transactions"]
    assert b"again" in row
    assert found == [2]


def test_what_is_being_sent_stays(rooms: Rooms) -> None:
    """A leased queue keeps its pending transaction, which ends as any other."""
    found = rooms.lease(OUR_NAME, OTHER_NAME)
    leased = {pending.queue.server_name: pending for pending in found}
    assert leased[OUR_NAME].queue == (OUR_NAME, DOWN)
    others = rooms.others.rows()
    # Delivered to PEER: an entry; waiting for DOWN: another one.
    assert rooms.call("queue", OUR_NAME) == 2
    assert rooms.others.rows() == others
    rows = rooms.ours.rows()
    assert len(rows["outbound_entries"]) == 2  # of the pending transaction
    assert len(rows["outbound_transactions"]) == 1
    summary = result_of(queue_summary(rooms.ours.database, OUR_NAME, DOWN))
    assert summary is not None
    assert summary.queued == 2
    result_of(rooms.leases.record_rejection(leased[OUR_NAME], "never", {}))
    assert rooms.call("queue", OUR_NAME) == 2
    assert rooms.ours.rows()["destinations"] == []


@pytest.mark.parametrize("leased", [OUR_NAME, OTHER_NAME])
def test_lease_of_one_name(rooms: Rooms, leased: ServerName) -> None:
    """A lease holds the queue of its own name, and not that of another one."""
    assert len(rooms.lease(leased)) == 1
    rooms.call("queue", None)
    for house in (rooms.ours, rooms.others):
        is_leased = house.name == leased
        assert len(house.rows()["destinations"]) == int(is_leased)


@pytest.mark.parametrize("is_counted", [False, True])
def test_size(rooms: Rooms, *, is_counted: bool) -> None:
    """The counted size is less by what was counted, and by nothing else."""

    def count() -> int:
        while result_of(rooms.retention.count_received()):
            pass
        for outcome in OUTCOMES:
            while result_of(rooms.retention.count_sent(outcome)):
                pass
        return result_of(rooms.retention.length())

    for house in (rooms.ours, rooms.others):
        result_of(house.rooms.forget(ROOM))  # its size is counted at once
    total = count() if is_counted else 0
    for kind in ("received", "queue"):
        rooms.call(kind, OUR_NAME)
    left = result_of(rooms.retention.length())
    assert left == (total // 2 if is_counted else 0)
    rest = count()
    assert rest > 0
    for kind in ("received", "queue"):
        rooms.call(kind, None)
    assert result_of(rooms.retention.length()) == 0
