"""The bill of materials, third part: the rooms that one of our servers takes part in.

Rules: as those of `app.server`, of whose bill of materials this is a part.
"""

from collections.abc import Callable

from homeserver.app.credentials import Credentials
from homeserver.app.shared import Shared
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import Cause
from homeserver.outbound.calls import FederationCalls
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.author import Author
from homeserver.rooms.backfill import Backfill
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.join_reply import JoinReplyReader
from homeserver.rooms.joining import Joiner
from homeserver.rooms.joins import Joins, SharedJoins
from homeserver.rooms.outsiders import Outsiders
from homeserver.rooms.policies import Policies
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.receiving import RoomReceiver
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.rooms.source import Source
from homeserver.storage.device_lists import DeviceListStore
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.pending_memberships import PendingStore
from homeserver.storage.room_directory import RoomDirectory
from homeserver.users.device_list_fetches import DeviceListFetches
from homeserver.users.device_lists import KeptDeviceLists


def build_resident(
    rooms: Rooms,
    calls: FederationCalls,
    shared: Shared,
    checker: PduChecker,
    desk: PolicyDesk,
) -> Resident:
    """What answers for a server about its rooms; `desk` is its policy server."""
    pending = PendingStore(shared.store.database, rooms.server_name)
    return Resident(rooms, pending, EventChecks(checker), calls, desk)


def build_elsewhere(
    resident: Resident, shared: Shared, checker: PduChecker
) -> Elsewhere:
    """What takes users of a server into rooms of other servers."""
    reader = JoinReplyReader(EventChecks(checker), shared.pace)
    joiner = Joiner(resident, reader)
    return Elsewhere(
        resident, joiner, Outsiders(resident), Backfill(resident, shared.reactor)
    )


def build_receiver(
    rooms: Rooms, calls: FederationCalls, shared: Shared, checker: PduChecker
) -> RoomReceiver:
    """What takes in the events of a server's rooms."""
    checks = EventChecks(checker)

    def source_of(room: Room, name: ServerName, cause: Cause) -> Source:
        return Source(calls, checks, room, name, cause)

    gaps = Gaps(rooms, source_of, shared.reactor, shared.random)
    pending = PendingStore(shared.store.database, rooms.server_name)
    return RoomReceiver(checker, rooms, pending, gaps, shared.pace)


def build_device_lists(
    rooms: Rooms, calls: FederationCalls, shared: Shared
) -> KeptDeviceLists:
    """The devices of other servers' users that are in a server's rooms."""
    store = DeviceListStore(shared.store.database, rooms.server_name)
    fetches = DeviceListFetches(
        calls, store, shared.device_list_fetches, shared.reactor
    )
    return KeptDeviceLists(store, fetches, rooms.store.sharing, shared.pace)


def build_rooms(
    name: ServerName,
    credentials: Credentials,
    shared: Shared,
    wake: Callable[[], object],
    policies: Policies,
) -> Rooms:
    """The rooms of a server; `wake` lets the sender look for due destinations."""
    database = shared.store.database
    megabytes = shared.config.retention.max_megabytes
    rooms = Rooms(
        RoomStore(
            database,
            name,
            shared.store.clock,
            shared.make_changes(),
            is_shared=shared.store.is_shared,
        ),
        RoomDirectory(database, name),
        Author(credentials.identity, shared.reactor, shared.random),
        wake,
        shared.pace,
        max_bytes=None if megabytes is None else megabytes * 1_000_000,
    )
    rooms.recommend = policies.recommend
    if shared.locks is not None:
        rooms.joins = Joins(SharedJoins(shared.locks, shared.reactor, name))
    return rooms
