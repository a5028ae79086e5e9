"""Two servers in one room, in memory: ours, and another one that we ask."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, cast
from urllib.parse import unquote

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import Call, FederationCalls
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json, as_object, parse_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms import past
from homeserver.rooms.author import Given
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.storage.pending_memberships import PendingStore
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB, OurRooms, text
from tests.support.room_side import RoomSide, signed
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    US,
    Peer,
    identity,
    signing_key,
)

ANN = UserId.parse(f"@ann:{OUR_NAME}")
OLI = UserId.parse(f"@oli:{OTHERS.server_name}")
EVE = UserId.parse(f"@eve:{THEM.server_name}")

_ANSWERS: dict[str, Callable[[Resident, Question], Awaitable[bytes]]] = {
    "get_missing_events": past.missing_events,
    "backfill": past.backfill,
    "event": past.event,
    "event_auth": past.event_auth,
    "state_ids": past.state_ids,
    "state": past.state,
}


class Calls:
    """Calls of ours, answered by the other server, unless a test changes the reply."""

    def __init__(self) -> None:
        self.resident: Resident | None = None
        self.made: list[str] = []
        """The routes that were asked, in order."""

        self.of_others: list[str] = []
        """Those of them that were asked of the third server."""

        self.change: dict[str, Callable[[Json], Json]] = {}
        """What becomes of the other server's reply, by route.

        It raises `ProtocolError` to refuse. The third server's replies are as they are.
        """

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """As `FederationCalls`."""
        assert self.resident is not None
        assert destination in {THEM.server_name, OTHERS.server_name}
        route, *steps = call.path.removeprefix("/_matrix/federation/v1/").split("/")
        self.made.append(route)
        names = [each[1:-1] for each in call.route.split("/") if each.startswith("{")]
        path = dict(zip(names, map(unquote, steps), strict=True))
        query: dict[str, list[str]] = {}
        for name, value in call.query:
            query.setdefault(name, []).append(value)
        question = Question(US, path, query, call.content or {}, cause)
        try:
            data = await _ANSWERS[route](self.resident, question)
            assert len(data) <= call.limits.reply_bytes
            reply = parse_object(data)
            if destination == OTHERS.server_name:
                self.of_others.append(route)
                return reply
            change = self.change.get(route)
            return reply if change is None else change(reply)
        except ProtocolError as problem:
            raise Refused(
                destination, problem.status, problem.errcode, str(problem)
            ) from None


class Pair:
    """A room of Bob's, on the other server, that our Ann has joined."""

    def __init__(self, version: str = "10", seed: int = 1, **levels: object) -> None:
        """`levels` are power levels, beside the usual ones."""
        self._count = 0
        self.version = ROOM_VERSIONS[version]
        self.calls = Calls()
        self.side = RoomSide(self.calls)
        own = Identity(THEM.server_name, [THEM.key], [], identity().certificate)
        self.them = OurRooms(name=THEM.server_name, own=own, seed=seed)
        new = NewRoom(
            creator=BOB,
            room_version=self.version,
            preset="public_chat",
            power_levels=levels,
        )
        self.theirs = result_of(self.them.rooms.create(new))
        checks = EventChecks(self.side.server.receiver._checker)  # type: ignore[arg-type]
        pending = PendingStore(self.them.database, THEM.server_name)
        nothing = cast("FederationCalls", None)
        desk = PolicyDesk(THEM.server_name, Random(1))
        self.calls.resident = Resident(self.them.rooms, pending, checks, nothing, desk)
        result_of(self._join())

    def admit(self) -> Event:
        """Let a user of the third server join; it answers as the other one does."""
        join = result_of(self._joining(OLI, OTHERS))

        async def take() -> None:
            async with self.them.rooms.turn(self.theirs.room_id) as turn:
                await turn.take(join)

        result_of(take())
        return join

    async def _joining(self, user: UserId, peer: Peer) -> Event:
        new = NewEvent("m.room.member", user, {"membership": "join"}, user.user_id)
        template = await self.them.author.template(self.theirs, new)
        return signed(template, self.version.version, peer)

    async def _join(self) -> None:
        join = await self._joining(ANN, Peer(US, signing_key()))
        before = self.theirs.current
        chain = self.theirs.auth_chain([join, *before.values()])
        async with self.them.rooms.turn(self.theirs.room_id) as turn:
            await turn.take(join)
        rooms = self.side.ours.rooms
        async with rooms.begin(self.theirs.room_id, self.version) as turn:
            assert await turn.know_all([*chain, *before.values()]) == []
            await turn.begin(join, before)

    @property
    def ours(self) -> Room:
        """The room as we have it."""
        return self.side.known(self.theirs)

    def send(
        self,
        kind: str = "m.room.message",
        content: Json | None = None,
        key: str | None = None,
        *,
        given: Given | None = None,
        sender: UserId = BOB,
        redacts: EventId | None = None,
    ) -> Event:
        """One more event of theirs, which does not reach us yet."""
        new = NewEvent(kind, sender, content or text("x"), key, redacts)
        sent = self.them.rooms.send(self.theirs.room_id, new, given or Given())
        return result_of(sent).event

    def transact(
        self, *events: Event, edus: Sequence[Json] = (), peer: Peer = THEM
    ) -> dict[str, Any]:
        """Let a transaction reach us: the error of each event, or an empty object."""
        self._count += 1
        content: Json = {
            "origin": peer.server_name.name,
            "origin_server_ts": 1,
            "pdus": [each.pdu for each in events],
            "edus": list(edus),
        }
        answer = self.side.ask(
            "PUT", "send", f"t{self._count}", content=content, peer=peer
        )
        assert answer.status == 200, answer.json
        return as_object(answer.json["pdus"], "pdus")
