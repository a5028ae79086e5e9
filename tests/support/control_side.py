"""The control API of one server, put together in memory."""

from collections.abc import Iterable
from functools import partial
from random import Random

from twisted.internet.task import Clock

from homeserver.config.values import Events, Sending
from homeserver.control import routes
from homeserver.control.caches import CacheBook
from homeserver.control.inspect import Reach, describe_keys, describe_resolution
from homeserver.control.peer_routes import peer_routes
from homeserver.control.peers import PeerBook
from homeserver.control.reports import Observed, ReportBook
from homeserver.control.router import control_router
from homeserver.control.state_routes import state_kinds, state_routes
from homeserver.control.submit import Submitter
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.request_counts import RequestCounts
from homeserver.keys.keyring import Keyring, KeyringLimits
from homeserver.net.addresses import AddressPolicy, AddressRange, is_ip
from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.net.exchanges import Exchanges
from homeserver.outbound.calls import FederationCalls
from homeserver.outbound.transport.sightings import InvalidDocument, Sighting
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.rooms.author import Author
from homeserver.rooms.backfill import Backfill
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.control_routes import room_control_routes
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.join_reply import JoinReplyReader
from homeserver.rooms.joining import Joiner
from homeserver.rooms.outsiders import Outsiders
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.policy_routes import policy_control_routes
from homeserver.rooms.resident import Resident
from homeserver.rooms.rooms import Rooms
from homeserver.storage.device_lists import DeviceListStore
from homeserver.storage.forgetting import StoredState
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.notifier import Changes
from homeserver.storage.peers import PeerStore
from homeserver.storage.pending_memberships import PendingStore
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RefusalStore
from homeserver.storage.room_directory import RoomDirectory
from homeserver.users.control_routes import UserDesk, user_control_routes
from homeserver.users.device_list_fetches import DeviceListFetches, device_list_shares
from homeserver.users.device_lists import KeptDeviceLists
from homeserver.users.media import MediaShelf
from homeserver.users.users import Users
from tests.support.coroutines import result_of
from tests.support.described_answers import DescribedAnswers
from tests.support.http_connection import Answer, Connection, request, site
from tests.support.manual_sender import US, build_sender
from tests.support.memory_database import FailingDatabase
from tests.support.scripted_servers import Carrier, FailedRoutes, KnownRoutes
from tests.support.signed_requests import identity

NOW = 1_800_000_000.0  # seconds since 1970
NOW_TS = int(NOW * 1000)

EDU: Json = {"edu_type": "x.test", "content": {"typing": True}}
SEND = "/v1/send/them.example"

TOKEN = "s3cret-token"
HOST = "Host: 127.0.0.1:8008"
AUTHORIZATION = f"Authorization: Bearer {TOKEN}"

POLICY = AddressPolicy([AddressRange.parse("10.0.0.0/8")], [])

METRICS = b"a_metric 1.0\n"


class Seen:
    """Remembers how peers were last seen."""

    def __init__(self, sightings: dict[ServerName, Sighting]) -> None:
        self._sightings = sightings

    def forget(self, name: ServerName) -> bool:
        """Forget one; whether it was seen."""
        return self._sightings.pop(name, None) is not None


class Panel:
    """A site that is the control API, and what is behind it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.identity = identity()
        self.users = Users(self.identity.server_name)
        self.media = MediaShelf()
        self.desk = PolicyDesk(self.identity.server_name, Random(1))
        self.database = FailingDatabase()
        self.carrier = Carrier()
        self.sender = build_sender(
            self.database, self.carrier, Sending(), self.clock, Random(1)
        )
        self.peers = PeerStore(self.database, US, self.clock)
        self.received = ReceivedStore(self.database, US, Changes(self.clock))
        self.routes = KnownRoutes(self.clock)
        self.keyring = Keyring(
            lambda: self.identity,
            self.peers,
            self.carrier,
            self.clock,
            KeyringLimits(self.clock),
        )
        self.is_healthy = True
        self.bound = Bound("doors", "open doors", 5, lambda: 3)
        submitter = Submitter(lambda: self.identity, self.sender.outgoing)
        self.failed_routes = FailedRoutes()
        self.counts = RequestCounts()
        caches = CacheBook(
            self.routes.kept,
            lambda: [self.keyring.fetches],
            lambda: [self.failed_routes],
            self.clock,
        )
        self.invalid: dict[ServerName, InvalidDocument] = {}
        """The documents that did not verify their servers."""

        self.sightings: dict[ServerName, Sighting] = {}
        """The last connections to other servers."""

        self.addresses = {"a.org": ["192.0.2.9"]}
        """Those of each host."""

        self.forgotten: list[ServerName] = []
        """What the other memories were told to forget."""

        book = PeerBook(
            self.peers,
            KnownPeers(self.database, US),
            self.sender.outgoing,
            caches,
            Seen(self.sightings),
            [self.keyring, self],
        )
        self.look_again = lambda _, peer: book.look_again(peer)
        waiting = RefusalQueue(self.clock)
        refusals = Refusals(RefusalStore(self.database, US), waiting, self.clock)
        self.rooms = self._rooms()
        self.table = [
            *routes.status_routes(self._is_healthy, self._read_metrics, [self.bound]),
            *routes.send_routes(submitter, self.sender.outgoing),
            *routes.inbound_routes(self.received, refusals),
            *routes.cache_routes(caches, [US]),
            *routes.lookup_routes(
                partial(
                    describe_resolution,
                    self.routes,
                    Reach(self._look_up, POLICY),
                    self.clock,
                ),
                partial(
                    describe_keys, self.carrier, self.peers, self.clock, self.invalid
                ),
                caches,
            ),
            *peer_routes(
                book,
                ReportBook(
                    self.database,
                    US,
                    book,
                    refusals,
                    Observed(self.sightings, self.counts),
                    self.clock,
                ),
            ),
            *room_control_routes(self.rooms, self._elsewhere),
            *policy_control_routes(self.desk),
            *user_control_routes(self.user_desk(), self._device_lists()),
            *state_routes(
                state_kinds(
                    StoredState(self.database, self.now_ts, self.clock),
                    caches,
                    waiting,
                    self,
                ),
                lambda: [US],
            ),
        ]
        """The routes."""

        self.site = site(
            control_router(self.table, TOKEN, ()).wrapped(
                DescribedAnswers(self.table).wrap
            ),
            clock=self.clock,
        )

    def user_desk(self, workers: int = 1) -> UserDesk:
        """Defines users and media."""
        return UserDesk(self.users, self.media, Random(1), workers)

    def _rooms(self) -> Rooms:
        own = self.identity.server_name
        return Rooms(
            RoomStore(self.database, own, self.now_ts, Changes(self.clock)),
            RoomDirectory(self.database, own),
            Author(lambda: self.identity, self.clock, Random(1)),
            lambda: None,
            Pace(self.clock),
        )

    def _device_lists(self) -> KeptDeviceLists:
        """Those of users who all share a room with one of ours."""

        async def all_of_them(users: Iterable[UserId]) -> set[UserId]:
            return set(users)

        store = DeviceListStore(self.database, self.identity.server_name)
        shares = device_list_shares(self.clock)
        fetches = DeviceListFetches(self._calls(), store, shares, self.clock)
        return KeptDeviceLists(store, fetches, all_of_them, Pace(self.clock))

    def _calls(self) -> FederationCalls:
        return FederationCalls(
            self.carrier, lambda: self.identity, Exchanges(self.clock)
        )

    def _elsewhere(self) -> Elsewhere:
        pace = Pace(self.clock)
        checker = PduChecker(self.received, self.keyring, self.clock, pace, Events())
        checks, calls = EventChecks(checker), self._calls()
        pending = PendingStore(self.database, self.identity.server_name)
        resident = Resident(self.rooms, pending, checks, calls, self.desk)
        joiner = Joiner(resident, JoinReplyReader(checks, pace))
        return Elsewhere(
            resident, joiner, Outsiders(resident), Backfill(resident, self.clock)
        )

    def now_ts(self, _: object) -> int:
        """The time of the store."""
        return int(self.clock.seconds() * 1000)

    def start(self) -> None:
        """Begin to send what is queued."""
        result_of(self.sender.start())

    def begin(
        self, method: str, target: str, content: Json | None = None
    ) -> Connection:
        """Ask with the token; the connection on which the answer will come."""
        connection = Connection(self.site)
        body = None if content is None else encode(content)
        connection.send(request(method, target, [HOST, AUTHORIZATION], body))
        return connection

    def ask(self, method: str, target: str, content: Json | None = None) -> Answer:
        """Ask with the token; the answer, which is there at once."""
        [answer] = self.begin(method, target, content).answers()
        return answer

    async def _look_up(self, host: str, _: Cause) -> list[str]:
        if is_ip(host):
            return [host]
        if host not in self.addresses:
            raise LookupFailed(f"{host} has no address", "no_address")
        return self.addresses[host]

    async def _read_metrics(self) -> bytes:
        return METRICS

    def forget(self, name: ServerName) -> None:
        """As any part that remembers something of a server."""
        self.forgotten.append(name)

    def forget_sightings(self, _: ServerName | None) -> None:
        """Forget how servers were last seen."""
        self.sightings.clear()

    def forget_counts(self, _: ServerName | None) -> None:
        """Forget how many requests servers have made."""
        self.counts.forget_all()

    async def _is_healthy(self) -> bool:
        return self.is_healthy
