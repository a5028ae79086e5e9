"""A room of the target, as a member of ours knows it.

Rules: an event of ours stands at the room's ends unless the check says otherwise, and
cites the auth events that the rules of its version select. Nothing is taken to be
accepted because it was answered with 200: the ends of the room tell.

Theory: the `prev_events` of a `make_leave` template are the target's forward
extremities. An event that was accepted is one of them, until another one cites it; a
rejected or a soft-failed one never is. A target may take in events after its reply, in
the order in which they arrive. So a marker follows, a message that stands beside the
event in question: when the marker is among the ends, so is the event, or it never will
be. Another member's event would cite both, so `turn` keeps the others away.

Specification: Server-server API, "Checks performed on receipt of a PDU", "Joining
Rooms".
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from twisted.internet.task import deferLater

from homeserver.conformance.members import Member
from homeserver.conformance.membership_requests import (
    bare,
    events_in,
    id_of,
    make,
    path,
    quoted,
    signed,
    user_of,
)
from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.building import reference

_SECONDS = 20.0  # until an event that was sent is among the ends
_PAUSE = 0.03  # seconds between two looks at them


class Place(Struct, frozen=True):
    """Where the next event of a room stands."""

    prev_events: Sequence[object]
    """As an event of the room's version has them."""

    depth: int

    @property
    def ids(self) -> Sequence[EventId]:
        """The events before it."""
        return [id_in(each) for each in self.prev_events]


def id_in(cited: object) -> EventId:
    """The ID in an entry of `prev_events` or `auth_events` of any version."""
    if isinstance(cited, list) and cited:
        cited = cited[0]
    return EventId(cited if isinstance(cited, str) else "")


class JoinedRoom:
    """A room of the target, for one check."""

    def __init__(self, t: Target, member: Member) -> None:
        self._t = t
        self.member = member
        self.ours = member.ours
        self.room_id = member.room_id
        self.version: RoomVersion = member.join.room_version
        self.join = member.join
        self.state = dict(member.state)
        """The state that our events cite their auth events from."""

    @property
    def user_id(self) -> str:
        """Our user in it."""
        return user_of(self.ours)

    async def place(self) -> Place:
        """The place of the next event, as the target's template has it.

        Raises `NoAnswer` and `NotTestable`.
        """
        reply = await make(self._t, self.ours, "leave", self.room_id)
        template = reply.json.get("event")
        found = template.get("prev_events") if isinstance(template, dict) else None
        depth = template.get("depth") if isinstance(template, dict) else None
        if not isinstance(found, list) or not isinstance(depth, int):
            raise NotTestable(f"make_leave has no template for a member: {reply}")
        return Place(found, depth)

    async def ends(self) -> Sequence[EventId]:
        """The forward extremities, as the target has them; raises as `place`."""
        return (await self.place()).ids

    async def build(
        self,
        kind: str,
        content: Json,
        state_key: str | None = None,
        /,
        *,
        at: Place | None = None,
        **members: object,
    ) -> Json:
        """An event of our user, signed; `at` the ends of the room by default.

        `members` replace others before it is hashed. Raises as `place`.
        """
        place = at or await self.place()
        keys = auth_keys(kind, self.user_id, state_key, content, self.version)
        pdu: Json = {
            "type": kind,
            "room_id": self.room_id,
            "sender": self.user_id,
            "content": content,
            "prev_events": list(place.prev_events),
            "auth_events": [reference(x) for x in select_auth_events(keys, self.state)],
            "depth": place.depth,
            "origin_server_ts": self.ours.now_ts,
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        if self.version.id_format is IdFormat.SENT:
            pdu["event_id"] = f"${self._t.fresh('event')}:{self.ours.name}"
        return signed(self.ours, {**pdu, **members}, self.version)

    async def message(
        self, body: str = "hello", *, at: Place | None = None, **members: object
    ) -> Json:
        """A message of our user, signed; as `build`."""
        content: Json = {"msgtype": "m.text", "body": body}
        return await self.build("m.room.message", content, at=at, **members)

    def sign(self, pdu: Json) -> Json:
        """An event with other members, hashed and signed again."""
        return signed(self.ours, bare(pdu), self.version)

    def id_of(self, pdu: Json) -> EventId:
        """The ID of an event; `$none` where it has no form that gives it one."""
        return id_of(pdu, self.version)

    def cites(self, pdu: Json) -> object:
        """How other events cite an event; raises `ProtocolError` for a wrong form."""
        return reference(Event.parse(pdu, self.version))

    def after(self, *pdus: Json) -> Place:
        """The place after some events of ours."""
        depths = [each["depth"] for each in pdus]
        deepest = max((x for x in depths if isinstance(x, int)), default=0)
        return Place([self.cites(each) for each in pdus], deepest + 1)

    async def put(self, *pdus: Json, edus: Sequence[object] = ()) -> Reply:
        """Send events in one transaction; raises `NoAnswer`."""
        content = self._t.transaction(self.ours, pdus, edus)
        return await self._t.ask(self.ours, content=content)

    async def send(self, pdu: Json) -> Reply:
        """Send an event, and wait until it is an end of the room.

        Raises `NoAnswer`, and `NotTestable` if it never is.
        """
        reply, _ = await self.settle(pdu)
        return reply

    async def settle(self, pdu: Json) -> tuple[Reply, Sequence[EventId]]:
        """The same, with the ends of the room that there are then."""
        reply = await self.put(pdu)
        ends = await self._ends_with(self.id_of(pdu))
        if ends is None:
            raise NotTestable(f"a sound event is not accepted: {reply}")
        return reply, ends

    async def say(self, body: str = "hello") -> Json:
        """Send a message at the ends of the room, in a turn of its own.

        Raises as `send`.
        """
        async with self.turn():
            pdu = await self.message(body)
            await self.send(pdu)
        return pdu

    async def accepts(self, pdu: Json, *, at: Place) -> bool:
        """Send an event, and see whether it becomes an end of the room.

        `at` is where it stands, and has a marker beside it. The caller has the turn.
        Raises as `send`.
        """
        marker = await self.message("marker", at=at)
        await self.put(pdu)
        _, ends = await self.settle(marker)
        return self.id_of(pdu) in ends

    async def state_at(self, pdu: Json) -> frozenset[str]:
        """The IDs of the state before an event of ours, as the target has it.

        Raises `NoAnswer`, and `NotTestable` where it has none.
        """
        reply = await self.get("state_ids", query=f"event_id={quoted(self.id_of(pdu))}")
        found = events_in(reply, "pdu_ids")
        if not reply.is_ok:
            raise NotTestable(f"the target has no state at an event of ours: {reply}")
        return frozenset(each for each in found if isinstance(each, str))

    async def event(self, event_id: str) -> Reply:
        """The reply to `event`; raises `NoAnswer`."""
        return await self._t.request(self.ours, "GET", path("event", event_id))

    async def get(self, route: str, *steps: str, query: str | None = None) -> Reply:
        """The reply to a GET about this room; raises `NoAnswer`."""
        where = path(route, self.room_id, *steps)
        return await self._t.request(self.ours, "GET", where, query=query)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Keep other members of ours from changing the room meanwhile."""
        async with self._t.ground.members.lock(self.room_id):
            yield

    async def _ends_with(self, event_id: EventId) -> Sequence[EventId] | None:
        """The ends of the room, when an event is one; None if it is not in time."""
        clock = self._t.ground.clock
        limit = clock.seconds() + _SECONDS
        while event_id not in (ends := await self.ends()):
            if clock.seconds() > limit:
                return None
            await deferLater(clock, _PAUSE)
        return ends
