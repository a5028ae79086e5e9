"""Our server beside two others that it asks about rooms, in memory.

The others are in the same rooms, and answer by our own routes. What the first one
answers can be changed, so that it lies.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast
from urllib.parse import unquote

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.outbound.calls import Call, FederationCalls
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, encode, parse
from homeserver.protocol.errors import ProtocolError, Unrecognized
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms import routes
from homeserver.rooms.backfill import Backfill
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.join_reply import JoinReplyReader
from homeserver.rooms.joining import Joiner
from homeserver.rooms.outsiders import Outsiders
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.storage.pending_memberships import PendingStore
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB, OurRooms, new_room
from tests.support.room_side import RoomSide
from tests.support.signed_requests import OTHERS, THEM, US, identity

ANN = UserId.parse(f"@ann:{OUR_NAME}")

Change = Callable[[Any], Any]
"""Of a reply: returns another one, or raises `ProtocolError` or `Unreachable`."""

_ANSWERS: dict[tuple[str, str], Callable[[Resident, Question], Awaitable[Any]]] = {
    (method, template): answer for method, template, answer in routes._ROUTES
}


class Calls:
    """Calls of ours to the two others."""

    def __init__(self, residents: Callable[[], Resident]) -> None:
        """`residents` is the other server where it is in rooms, for both names."""
        self._residents = residents
        self.made: list[tuple[str, str, int]] = []
        """What was asked: of which server, which route, of which version."""

        self.calls: list[Call] = []
        self.change: dict[str, Change] = {}
        """What becomes of the replies of the first server, by route."""

        self.instead: dict[str, Callable[[Question], Any]] = {}
        """What the first server answers in place of that."""

        self.spoil: dict[str, Callable[[bytes], bytes]] = {}
        """What becomes of their text, by route."""

        self.unknown: set[tuple[str, int]] = set()
        """The routes that neither of them has, each with its version."""

    def routes(self, name: ServerName = THEM.server_name) -> list[str]:
        """The routes that were asked of a server."""
        return [route for server, route, _ in self.made if server == name.name]

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """As `FederationCalls`."""
        reply = parse(await self.ask_text(destination, call, cause))
        if not isinstance(reply, dict):
            raise Refused(destination, 200, None, "not an object")
        return reply

    async def ask_text(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> bytes:
        """As `FederationCalls`."""
        if destination not in {THEM.server_name, OTHERS.server_name}:
            raise Unreachable(destination, ["no route"])
        _, _, _, version, route, *steps = call.path.split("/")
        self.made.append((destination.name, route, int(version[1:])))
        self.calls.append(call)
        names = [each[1:-1] for each in call.route.split("/") if each.startswith("{")]
        query: dict[str, list[str]] = {}
        for name, value in call.query:
            query.setdefault(name, []).append(value)
        path = dict(zip(names, map(unquote, steps), strict=False))
        question = Question(US, path, query, call.content or {}, cause)
        try:
            if (route, int(version[1:])) in self.unknown:
                raise Unrecognized("unknown path")
            reply = await self._reply(destination, call, question, route)
        except ProtocolError as problem:
            raise Refused(
                destination,
                problem.status,
                problem.errcode,
                str(problem),
                reply={"errcode": problem.errcode, **problem.members},
            ) from None
        text = reply if isinstance(reply, bytes) else encode(reply)
        return self.spoil[route](text) if route in self.spoil else text

    async def _reply(
        self, destination: ServerName, call: Call, question: Question, route: str
    ) -> object:
        is_first = destination == THEM.server_name
        if is_first and route in self.instead:
            return self.instead[route](question)
        answer = _ANSWERS[call.method, call.route]
        found = await answer(self._residents(), question)
        if not is_first or route not in self.change:
            return found
        return self.change[route](parse(found) if isinstance(found, bytes) else found)


class Neighbours:
    """Our server, which is in no room yet, and rooms of Bob's."""

    def __init__(self, version: str = "10", **more: object) -> None:
        """`more` is of the room, which is public by default."""
        self.calls = Calls(lambda: self.resident)
        self.side = RoomSide(self.calls)
        own = Identity(THEM.server_name, [THEM.key], [], identity().certificate)
        self.them = OurRooms(name=THEM.server_name, own=own)
        checks = self.side.resident.checks
        pending = PendingStore(self.them.database, THEM.server_name)
        nothing = cast("FederationCalls", None)
        desk = PolicyDesk(THEM.server_name, Random(1))
        self.resident = Resident(self.them.rooms, pending, checks, nothing, desk)
        pace = Pace(self.side.clock)
        joiner = Joiner(self.side.resident, JoinReplyReader(checks, pace))
        outsiders = Outsiders(self.side.resident)
        history = Backfill(self.side.resident, self.side.clock)
        self.elsewhere = Elsewhere(self.side.resident, joiner, outsiders, history)
        self.version = version
        self.theirs = self.create(**more)

    def create(self, **more: object) -> Room:
        """One more room of Bob's."""
        wanted = {"preset": "public_chat", **more, "creator": BOB}
        return result_of(self.them.rooms.create(new_room(self.version, **wanted)))

    @property
    def room_id(self) -> RoomId:
        """The ID of the room."""
        return self.theirs.room_id

    @property
    def ours(self) -> Room | None:
        """The room as we have it; None if we do not."""
        return result_of(self.side.ours.rooms.find(self.room_id))

    def join(self, *via: ServerName, user: UserId = ANN) -> Room:
        """Let a user of ours join by the room's ID."""
        names = via or (THEM.server_name,)
        return result_of(self.elsewhere.join(self.room_id, user, names)).room

    def send(
        self, kind: str, content: Json, key: str | None = None, sender: UserId = BOB
    ) -> Event:
        """One more event of theirs, which does not reach us."""
        new = NewEvent(kind, sender, content, key)
        return result_of(self.them.rooms.send(self.room_id, new)).event
