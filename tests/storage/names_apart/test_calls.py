"""Two of our names in one store: neither sees, changes or counts what is the other's.

Each public method of each store class is called for one name, in a store that has the
same things of another name of ours.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import asdict, replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import Json
from homeserver.storage.certificate_pins import CertificatePins
from homeserver.storage.device_lists import DeviceListStore, KnownDevices
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.outbox.batching import Acknowledged
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RecordedRefusal, RefusalStore
from homeserver.storage.room_directory import RoomDirectory
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document
from tests.support.memory_database import MemoryDatabase
from tests.support.named_stores import (
    DOWN,
    EVENT,
    KEY,
    NOW,
    OTHER_KEY,
    PEER,
    REFUSAL,
    ROOM,
    USER,
    House,
    room_change,
    transaction,
)
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.queue_summaries import queue_summary

Call = Callable[[House], Coroutine[Deferred[Any], Any, Any]]

CERTIFIED = Peer(PEER, "certificate", "bb", {}, 2, 2)
DOCUMENT = key_document(PEER, [KEY], NOW)
OTHER_DOCUMENT = key_document(PEER, [OTHER_KEY], NOW)


async def answering(house: House, how: str) -> object:
    """Lease all that is due, also long after now, and record an outcome of each."""
    leases = DestinationLeases(
        house.database,
        house.name.__eq__,
        lambda _: NOW + 100_000,
        "z",
        60.0,
        is_shared=how == "failed",
    )
    found = (await leases.lease(Quota(9, 9), ())).transactions
    for pending in found:
        if how == "delivered":
            await leases.record_delivery(pending, Acknowledged({}, {}))
        elif how == "rejected":
            await leases.record_rejection(pending, "never", {})
        elif how == "failed":
            await leases.record_failure(pending, "again", lambda _: 9.0, 1.0)
        else:
            await leases.release(pending)
    return found


async def stored_document(house: House, of: House) -> list[Json | None]:
    """The text of a document of one name, asked for in that of another."""
    found = await of.documents.documents(PEER)
    return [await house.documents.read(each) for each in found]


COMPLETED = RecordedRefusal(id=1, **(asdict(REFUSAL) | {"error": "why"}))


async def contents(house: House) -> int:
    """How many contents are recorded under an ID."""
    return (await house.received.known_under(PEER, "t")).contents


async def leased(house: House) -> object:
    """What is leased; how long to wait for more may be by the queues of any name."""
    return (await house.leases.lease(Quota(9, 9), ())).transactions


async def written(house: House) -> None:
    """A first change of a room, or a further one."""
    revision = await house.rooms.revision(ROOM)
    if revision is None:
        await house.rooms.record(room_change())
    else:
        await house.rooms.record(replace(room_change(revision), states=[]))


async def of_all_names(house: House) -> None:
    """The length is that of all names: their rooms share one limit."""
    await house.rooms.length()


async def listed(house: House) -> None:
    """A room is taken from the list."""
    await house.directory.list_publicly(ROOM, is_listed=False)


def told(known: KnownDevices | None) -> KnownDevices:
    """What a name knows of a user, if that is nothing, and something else."""
    return KnownDevices(USER, problem="new" if known is None else "changed")


# (class, method, a call of it). A call that only reads has the same result as in a
# store of its own.
CALLS: list[tuple[type, str, Call]] = [
    (ReceivedStore, "reply_to", lambda h: h.received.reply_to(PEER, "t", b"d")),
    (ReceivedStore, "known_under", contents),
    (ReceivedStore, "room_versions", lambda h: h.received.room_versions([ROOM])),
    (ReceivedStore, "signers", lambda h: h.received.signers([(EVENT, "11", 1)])),
    (ReceivedStore, "record", lambda h: h.received.record(transaction(reply=b"2nd"))),
    (ReceivedStore, "after", lambda h: h.received.after(0, None, 10, 0)),
    (ReceivedStore, "after", lambda h: h.received.after(0, PEER, 10, 0)),
    (RefusalStore, "record", lambda h: h.refusals.record([REFUSAL])),
    (RefusalStore, "complete", lambda h: h.refusals.complete(COMPLETED)),
    (RefusalStore, "after", lambda h: h.refusals.after(0, None, 10)),
    (RefusalStore, "after", lambda h: h.refusals.after(0, PEER, 10)),
    (PeerStore, "peer", lambda h: h.peers.peer(PEER)),
    (KnownPeers, "page", lambda h: h.known.page(None, 10)),
    (KnownPeers, "find", lambda h: h.known.find(PEER)),
    (PeerStore, "forget", lambda h: h.peers.forget(PEER)),
    (
        PeerStore,
        "record_verified",
        lambda h: h.peers.record_verified(CERTIFIED, None, None),
    ),
    (PeerStore, "keys", lambda h: h.peers.keys(PEER)),
    (PeerStore, "conflict", lambda h: h.peers.conflict(OTHER_DOCUMENT)),
    (PeerStore, "record_keys", lambda h: h.peers.record_keys(DOCUMENT, NOW)),
    (CertificatePins, "find", lambda h: h.pins.find(PEER)),
    (CertificatePins, "pin", lambda h: h.pins.pin(PEER, "dd")),
    (DocumentStore, "documents", lambda h: h.documents.documents(PEER)),
    (DocumentStore, "read", lambda h: stored_document(h, h)),
    (RoomStore, "room_ids", lambda h: h.rooms.room_ids()),
    (RoomStore, "length", of_all_names),
    (RoomStore, "revision", lambda h: h.rooms.revision(ROOM)),
    (RoomStore, "room", lambda h: h.rooms.room(ROOM, lambda row: row)),
    (RoomStore, "texts", lambda h: h.rooms.texts(ROOM, [EVENT])),
    (RoomStore, "rooms_with", lambda h: h.rooms.rooms_with(EVENT)),
    (RoomStore, "sharing", lambda h: h.rooms.sharing({USER})),
    (RoomStore, "record", written),
    (RoomStore, "forget", lambda h: h.rooms.forget(ROOM)),
    (RoomDirectory, "list_publicly", listed),
    (RoomDirectory, "listed_rooms", lambda h: h.directory.listed_rooms()),
    (RoomDirectory, "add_alias", lambda h: h.directory.add_alias("#a", ROOM)),
    (RoomDirectory, "alias", lambda h: h.directory.alias("#a")),
    (DeviceListStore, "change", lambda h: h.device_lists.change(USER, told)),
    (DeviceListStore, "find", lambda h: h.device_lists.find(USER)),
    (DeviceListStore, "users", lambda h: h.device_lists.users()),
    (DeviceListStore, "forget", lambda h: h.device_lists.forget([USER])),
    (OutboundQueue, "add", lambda h: h.queue.add(DOWN, [], [{}], is_ephemeral=True)),
    (OutboundQueue, "state", lambda h: h.queue.state(DOWN, 2)),
    (OutboundQueue, "retry_immediately", lambda h: h.queue.retry_immediately(DOWN)),
    (OutboundQueue, "forget_failures", lambda h: h.queue.forget_failures(DOWN)),
    (OutboundQueue, "repeat", lambda h: h.queue.repeat(DOWN, 1, lambda _, __: b"{}")),
    (OutboundQueue, "drop", lambda h: h.queue.drop(DOWN, 3)),
    (OutboundQueue, "drop_transaction", lambda h: h.queue.drop_transaction(DOWN)),
    (OutboundQueue, "drop_waiting", lambda h: h.queue.drop_waiting(DOWN)),
    (OutboundQueue, "reset_back_off", lambda h: h.queue.reset_back_off(DOWN)),
    (DestinationLeases, "pending", lambda h: h.leases.pending()),
    (DestinationLeases, "begin", lambda h: h.leases.begin([h.queue.of(DOWN)], 1.0)),
    (DestinationLeases, "lease", leased),
    (DestinationLeases, "renew", lambda h: h.leases.renew([h.queue.of(DOWN)])),
    (DestinationLeases, "release", lambda h: answering(h, "released")),
    (DestinationLeases, "record_delivery", lambda h: answering(h, "delivered")),
    (DestinationLeases, "record_rejection", lambda h: answering(h, "rejected")),
    (DestinationLeases, "record_failure", lambda h: answering(h, "failed")),
]

IDS = [f"{owner.__name__}.{method}" for owner, method, _ in CALLS]


def test_the_table_is_whole() -> None:
    """Each public method of each store class is in the table."""
    for owner in {owner for owner, _, _ in CALLS}:
        methods = {
            name
            for name, _ in inspect.getmembers(owner, inspect.iscoroutinefunction)
            if not name.startswith("_")
        }
        assert methods == {name for each, name, _ in CALLS if each is owner}


@pytest.mark.parametrize(("owner", "method", "call"), CALLS, ids=IDS)
def test_a_call_sees_nothing_of_the_other_name(
    houses: tuple[House, House], owner: type, method: str, call: Call
) -> None:
    """A name has the same answer as in a store where no other name has anything."""
    _, others = houses
    result = result_of(call(others))
    alone = House(MemoryDatabase(), OTHER_NAME, PeerMemory(Clock()))
    expected = result_of(call(alone))
    if method == "add":  # its ID
        assert isinstance(result, int)
    else:
        assert result == expected


@pytest.mark.parametrize(("owner", "method", "call"), CALLS, ids=IDS)
@pytest.mark.parametrize("is_filled", [False, True])
def test_a_call_changes_nothing_of_the_other_name(
    houses: tuple[House, House],
    owner: type,
    method: str,
    call: Call,
    *,
    is_filled: bool,
) -> None:
    """No row of the other name changes, nor what is remembered of it."""
    ours, others = houses
    if is_filled:
        others.fill()
    before = ours.rows()
    result_of(call(others))
    assert ours.rows() == before
    assert result_of(ours.peers.keys(PEER))[KEY.key_id].verify_key == KEY.verify_key


def test_document_of_the_other_name(houses: tuple[House, House]) -> None:
    """A document is not read for a name that did not fetch it."""
    ours, others = houses
    assert result_of(stored_document(ours, ours))[0] is not None
    assert result_of(stored_document(others, ours)) == [None]


def test_known_peers_of_two_names(houses: tuple[House, House]) -> None:
    """What one name knows of a peer is not shown beside what the other one does."""
    _, others = houses
    result_of(others.pins.pin(DOWN, "ee"))
    result_of(others.pins.pin(PEER, "ff"))
    alone = House(MemoryDatabase(), OTHER_NAME, PeerMemory(Clock()))
    result_of(alone.pins.pin(DOWN, "ee"))
    result_of(alone.pins.pin(PEER, "ff"))
    for name in (DOWN, PEER):
        found = result_of(others.known.find(name))
        assert found == result_of(alone.known.find(name))
    assert result_of(others.known.page(None, 9)) == result_of(alone.known.page(None, 9))


def test_queues_of_two_names(houses: tuple[House, House]) -> None:
    """The state of a queue says nothing of another name's, for the same destination."""
    ours, others = houses
    entry = result_of(others.queue.add(DOWN, [{}], [], is_ephemeral=False))
    state = result_of(others.queue.state(DOWN, entry))
    assert state is not None
    assert (state.state, state.next_attempt_ts) == ("queued", None)
    summary = result_of(queue_summary(others.database, OTHER_NAME, DOWN))
    assert summary is not None
    assert (summary.queued, summary.oldest_id, summary.failures) == (1, entry, 0)
    assert len(result_of(others.leases.lease(Quota(9, 9), ())).transactions) == 1
    leased = result_of(queue_summary(others.database, OTHER_NAME, DOWN))
    assert leased is not None
    assert leased.oldest_id == entry
    mine = result_of(queue_summary(ours.database, OUR_NAME, DOWN))
    assert mine is not None
    assert mine.oldest_id is not None
    assert mine.oldest_id < entry
