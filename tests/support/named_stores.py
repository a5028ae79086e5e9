"""The stores of one of our names, filled with something of each kind."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import EventId, KeyId, RoomId, ServerName, UserId
from homeserver.storage.certificate_pins import CertificatePins
from homeserver.storage.device_lists import DeviceListStore, KnownDevices
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.batching import Acknowledged
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from homeserver.storage.refusals import Refusal, RefusalStore
from homeserver.storage.room_directory import RoomDirectory
from homeserver.storage.room_rows import RoomChange, StateChange, StoredEvent
from tests.support.coroutines import result_of
from tests.support.key_documents import key_document, signing_key

PEER, DOWN = map(ServerName.parse, ["peer.example", "down.example"])
ROOM, EVENT = RoomId("!r:peer.example"), EventId("$e")
USER = UserId.parse("@user:peer.example")
KEY, OTHER_KEY = (signing_key(KeyId("ed25519:1"), seed) for seed in (b"1", b"2"))

NOW = 1_600_000_000_000

TABLES = (
    *("received_transactions", "received_pdus", "rooms", "refusals"),
    *("outbound_entries", "outbound_transactions", "destinations"),
    "device_lists",
    *("joined_rooms", "room_states", "room_events", "room_aliases", "room_members"),
    *("peers", "server_keys", "certificate_pins", "known_names", "key_documents"),
)


class House:
    """The stores of one of our names."""

    def __init__(
        self, database: ImmediateDatabase, name: ServerName, memory: PeerMemory
    ) -> None:
        """`memory` is that of the process."""
        self.name = name
        self.database = database
        clock = Clock()
        clock.advance(NOW / 1000)
        self.received = ReceivedStore(database, name, Changes(clock))
        self.peers = PeerStore(database, name, clock, memory)
        self.pins = CertificatePins(database, name, clock)
        self.documents = DocumentStore(database, name)
        self.known = KnownPeers(database, name)
        self.refusals = RefusalStore(database, name)
        self.queue = OutboundQueue(database, name, lambda _: NOW)
        self.rooms = RoomStore(database, name, lambda _: NOW, Changes(clock))
        self.directory = RoomDirectory(database, name)
        self.device_lists = DeviceListStore(database, name)
        self.leases = DestinationLeases(
            database, name.__eq__, lambda _: NOW + 1000, "x", 60.0, is_shared=False
        )

    def fill(self) -> None:
        """Let each store have something of each kind."""
        result_of(self.received.record(transaction()))
        result_of(self.refusals.record([REFUSAL]))
        own = UserId.parse(f"@own:{self.name}")
        new = replace(room_change(), joined=[USER, own])
        result_of(self.rooms.record(new))
        result_of(self.directory.add_alias("#a", ROOM))
        result_of(self.device_lists.change(USER, lambda _: KnownDevices(USER)))
        result_of(self.directory.list_publicly(ROOM, is_listed=True))
        known = Peer(PEER, "key-document", "aa", {KEY.key_id: KEY.verify_key}, 1, 1)
        assert result_of(
            self.peers.record_verified(known, None, key_document(PEER, [KEY], None))
        )
        result_of(self.peers.record_keys(key_document(PEER, [KEY], NOW), NOW))
        result_of(self.pins.pin(PEER, "cc"))
        for destination in (PEER, DOWN, DOWN):
            result_of(self.queue.add(destination, [{}], [], is_ephemeral=False))
        for pending in result_of(self.leases.lease(Quota(9, 9), ())).transactions:
            if pending.destination == PEER:
                done = Acknowledged({}, {})
                assert result_of(self.leases.record_delivery(pending, done)) is None
            else:
                pause = result_of(
                    self.leases.record_failure(pending, "no", lambda _: 5.0, 1.0)
                )
                assert pause == 5.0
        result_of(self.queue.add(DOWN, [{}], [], is_ephemeral=False))

    def rows(self) -> dict[str, list[Any]]:
        """All rows of this name, by table."""

        def job(cursor: Cursor) -> dict[str, list[Any]]:
            return {
                table: sorted(
                    cursor.execute(
                        f"SELECT * FROM {table} WHERE server_name = ?",
                        (self.name.name,),
                    ).fetchall(),
                    key=str,
                )
                for table in TABLES
            }

        return result_of(self.database.read(job))


REFUSAL = Refusal(
    refused_ts=NOW,
    address="192.0.2.1",
    origin=PEER.name,
    proven=False,
    method="GET",
    path="/",
    status=401,
    errcode="M_UNAUTHORIZED",
    error="no",
    reason="no_header",
)


def room_change(revision: int = 0, position: int = 0) -> RoomChange:
    """A change of a room: a state with an event."""
    event = StoredEvent(
        position, EVENT, "accepted", 6, "1", "why", position, position, b"{}"
    )
    change = StateChange(position, None, {("m.room.create", ""): EVENT})
    return RoomChange(ROOM, "11", revision, [EVENT], position, [change], [event])


def transaction(reply: bytes = b"first") -> ReceivedTransaction:
    """A transaction with a PDU that makes a room."""
    pdu = JudgedPdu(
        EVENT,
        "11",
        "accepted",
        b"{}",
        created_room=(ROOM, "11"),
        signers=frozenset({PEER}),
    )
    return ReceivedTransaction(
        PEER, "t", NOW, KEY.key_id, None, [pdu], [{}], [], reply, b"d"
    )
