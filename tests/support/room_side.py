"""A server with rooms, put together in memory, and another server that asks it."""

from collections.abc import Sequence
from random import Random
from typing import Any, cast
from urllib.parse import quote, urlencode

from homeserver.config.values import Events
from homeserver.http.router import Route
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.outbound.calls import FederationCalls
from homeserver.protocol.canonical_json import Json, as_object, encode, parse
from homeserver.protocol.events.event import Event, hash_and_sign
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.policies import Policies
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.receiving import RoomReceiver
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.rooms.routes import room_routes
from homeserver.rooms.source import Source
from homeserver.storage.pending_memberships import PendingStore
from tests.support.coroutines import result_of
from tests.support.federation_side import Endpoint
from tests.support.http_connection import Answer, ask
from tests.support.memory_database import MemoryDatabase
from tests.support.one_server import OnlyServer
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB, OurRooms
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    US,
    KnownKeys,
    Peer,
    signing_key,
)

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"

VERSIONS = [("ver", version) for version in ROOM_VERSIONS]


class RoomSide(Endpoint):
    """A site that answers about rooms of ours."""

    def __init__(self, calls: object = None) -> None:
        """`calls` are made to other servers; none by default."""
        self.calls = calls
        self.database = MemoryDatabase()
        self.ours = OurRooms(self.database)
        self.keys = KnownKeys(THEM, OTHERS, Peer(US, signing_key()))
        super().__init__(
            keyring=self.keys, database=self.database, max_body_bytes=2_000_000
        )

    def more_routes(self, servers: OnlyServer) -> list[Route]:
        """The routes about rooms."""
        checker = PduChecker(
            self._received, self.keys, self.clock, Pace(self.clock), Events()
        )
        checks, rooms = EventChecks(checker), self.ours.rooms
        pending = PendingStore(self.database, OUR_NAME)
        calls = cast("FederationCalls", self.calls)
        self.desk = PolicyDesk(OUR_NAME, Random(1))
        rooms.recommend = Policies(lambda: calls, self.desk).recommend
        self.resident = self.server.resident = Resident(
            rooms, pending, checks, calls, self.desk
        )

        def source_of(room: Room, name: ServerName, cause: Cause) -> Source:
            return Source(calls, checks, room, name, cause)

        self.gaps = Gaps(rooms, source_of, self.clock, Random(1))
        pace = Pace(self.clock)
        self.server.receiver = TransactionReceiver(
            self._received,
            RoomReceiver(checker, rooms, pending, self.gaps, pace),
            self._note_polled,
            self.clock,
            Turns(self.clock, pace),
        )
        return room_routes(servers)

    def ask(
        self,
        method: str,
        route: str,
        *steps: str,
        query: Sequence[tuple[str, str]] = (),
        content: Json | None = None,
        peer: Peer = THEM,
        v2: bool = False,
    ) -> Answer:
        """The answer to a request of another server."""
        path = "/".join([V2 if v2 else V1, route, *(quote(x, safe="") for x in steps)])
        target = f"{path}?{urlencode(query)}" if query else path
        return self.ask_at(method, target, content, peer)

    def ask_at(
        self, method: str, target: str, content: Json | None = None, peer: Peer = THEM
    ) -> Answer:
        """The answer to a request of another server, at whatever path."""
        header = "Authorization: " + peer.authorize(method, target, content)
        body = None if content is None else encode(content)
        return ask(self.site, method, target, [header], body)

    def membership(
        self,
        room: Room,
        membership: str,
        user: str = BOB.user_id,
        peer: Peer = THEM,
    ) -> Event:
        """The signed event for a membership that a user asks for."""
        answer = self.ask(
            "GET", f"make_{membership}", room.room_id, user, query=VERSIONS, peer=peer
        )
        assert answer.status == 200, answer.json
        template = as_object(answer.json["event"], "event")
        return signed(template, str(answer.json["room_version"]), peer)

    def send(
        self,
        membership: str,
        event: Event,
        *,
        query: Sequence[tuple[str, str]] = (),
        peer: Peer = THEM,
        v2: bool = True,
    ) -> Answer:
        """The answer to the event of a membership."""
        return self.ask(
            "PUT",
            f"send_{membership}",
            event.room_id,
            event.event_id,
            query=query,
            content=event.pdu,
            peer=peer,
            v2=v2 and membership != "knock",
        )

    def join(self, room: Room, user: str = BOB.user_id, peer: Peer = THEM) -> Event:
        """Let a user of another server join."""
        event = self.membership(room, "join", user, peer)
        answer = self.send("join", event, peer=peer)
        assert answer.status == 200, answer.json
        return event

    def known(self, room: Room) -> Room:
        """The room as it is now."""
        return result_of(self.ours.rooms.known(room.room_id))


_numbers = iter(range(10**9))


def signed(pdu: Json, version: str, peer: Peer = THEM) -> Event:
    """An event with the hash and the signature of another server."""
    room_version = ROOM_VERSIONS[version]
    pdu = {k: v for k, v in pdu.items() if k != "origin"}
    if room_version.id_format is IdFormat.SENT and "event_id" not in pdu:
        pdu = {**pdu, "event_id": EventId(f"${next(_numbers)}:{peer.server_name}")}
    whole = hash_and_sign(pdu, room_version, peer.server_name, [peer.key])
    return Event.parse(whole, room_version)


def changed(event: Event, peer: Peer = THEM, **members: object) -> Event:
    """An event with other members, signed again."""
    pdu: dict[str, Any] = {**event.pdu, **members, "signatures": {}}
    return signed(pdu, event.room_version.version, peer)


def ids_of(events: object, version: str) -> list[str]:
    """The IDs of the events in a reply."""
    assert isinstance(events, list)
    return [Event.parse(x, ROOM_VERSIONS[version]).event_id for x in events]


def reply_in_list(answer: Answer) -> Json:
    """The reply of version 1 of a route: the object after 200."""
    value = parse(answer.body)
    assert isinstance(value, list)
    assert value[0] == 200
    assert len(value) == 2
    return as_object(value[1], "the reply")
