"""Bounds that all our names share: whose rows go, and what a name costs."""

import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import ServerName
from homeserver.storage import known_names, refusals
from homeserver.storage.certificate_pins import CertificatePins
from homeserver.storage.device_lists import DeviceListStore
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.progress import TotalsStore
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.peers import PeerStore
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RefusalStore
from homeserver.storage.retention import RetentionStore
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document
from tests.support.named_stores import DOWN, KEY, NOW, PEER, REFUSAL, ROOM, House
from tests.support.our_names import OUR_NAME


def test_refusals_of_a_flooded_name(
    houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of all names, the name with the most rows loses its oldest."""
    ours, others = houses
    monkeypatch.setattr(refusals, "MAX_ROWS", 5)
    result_of(ours.refusals.record([REFUSAL]))
    for number in range(4):
        flood = [replace(REFUSAL, refused_ts=number * 2 + each) for each in (0, 1)]
        result_of(others.refusals.record(flood))
    assert len(result_of(ours.refusals.after(0, None, 99))) == 2
    left = result_of(others.refusals.after(0, None, 99))
    assert [each.refused_ts for each in left] == [5, 6, 7]


def test_known_names_of_a_flooded_name(
    houses: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of all names, the name that knows most forgets its oldest."""
    ours, others = houses
    monkeypatch.setattr(known_names, "MAX_NAMES", 5)
    documents = [
        key_document(ServerName.parse(f"n{number}.example"), [KEY], NOW)
        for number in range(9)
    ]
    result_of(ours.peers.record_keys(documents[8], NOW))  # it is the oldest
    before = ours.rows()
    for document in documents:
        result_of(others.peers.record_keys(document, NOW))
    assert ours.rows() == before
    kept = [row[1] for row in others.rows()["known_names"]]
    assert kept == ["n6.example", "n7.example", "n8.example"]
    names, *_ = ours.peers.bounds
    assert (names.use(), names.refusals) == (5, 6)
    assert result_of(ours.peers.keys(PEER))
    # Also where the server that is stored now is the one that goes of the other name.
    result_of(ours.peers.record_keys(documents[6], NOW))
    kept = [row[1] for row in others.rows()["known_names"]]
    assert kept == ["n7.example", "n8.example"]


def test_totals(houses: tuple[House, House]) -> None:
    """The metrics count the queues of all names."""
    ours, others = houses
    totals = TotalsStore(ours.database, lambda _: NOW)
    alone = result_of(totals.load())
    others.fill()
    both = result_of(totals.load())
    assert (both.entries, both.backing_off) == (
        2 * alone.entries,
        2 * alone.backing_off,
    )


def test_pruning(houses: tuple[House, House]) -> None:
    """What is too old is removed of all names, in one order."""
    ours, others = houses
    others.fill()
    store = RetentionStore(ours.database, lambda _: NOW + 10_000_000)
    while result_of(store.count_received()):
        pass
    while result_of(store.count_sent("delivered_ts")):
        pass
    for step in (
        lambda: store.prune_received(1.0),
        lambda: store.prune_sent("delivered_ts", 1.0),
        lambda: store.prune_refusals(1.0),
    ):
        assert result_of(step()).count == 2
    for house in houses:
        left = house.rows()
        for table in ("received_transactions", "received_pdus", "refusals"):
            assert left[table] == []
        [pending] = left["outbound_transactions"]
        assert DOWN.name in pending
        result_of(house.rooms.forget(ROOM))
    assert result_of(store.length()) == 0


def test_stores_are_cheap() -> None:
    """A store that is not used asks nothing of anyone, and takes under a kilobyte."""
    nothing = cast("Any", None)
    memory = PeerMemory(Clock())
    changes = Changes(Clock())
    makers: list[Callable[[], object]] = [
        lambda: ReceivedStore(nothing, OUR_NAME, changes),
        lambda: PeerStore(nothing, OUR_NAME, nothing, memory),
        lambda: CertificatePins(nothing, OUR_NAME, nothing),
        lambda: DocumentStore(nothing, OUR_NAME),
        lambda: KnownPeers(nothing, OUR_NAME),
        lambda: DeviceListStore(nothing, OUR_NAME),
        lambda: RefusalStore(nothing, OUR_NAME),
        lambda: OutboundQueue(nothing, OUR_NAME, nothing),
    ]
    for make in makers:
        make()
        tracemalloc.start()
        stores = [make() for _ in range(100)]
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size / len(stores) < 1000
