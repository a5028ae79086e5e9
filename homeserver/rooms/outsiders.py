"""Users of ours outside of a room: they knock, take that back, and decline invites.

Rules: another server takes such an event, as no user of ours is in the room. Where one
is, the event is made here as any other. The first try to decline an invite forgets it,
also where no server accepts the decline. A knock is kept until it has an answer, with
those events of the room in the reply that verify.

Specification: Server-server API, "Knocking upon a room", "Leaving Rooms (Rejecting
Invites)".
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import Forbidden, NoServerHelps, NotFound, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.templates import Wanted
from homeserver.rooms.candidates import Candidates, Failure, domain_of_room
from homeserver.rooms.entry import Sent
from homeserver.rooms.invites import MAX_STATE_BYTES, MAX_STATE_EVENTS
from homeserver.rooms.remote_server import RemoteServer
from homeserver.rooms.resident import Resident
from homeserver.storage.pending_memberships import PendingMembership


class Taken(Struct, frozen=True):
    """An event of ours that another server has taken."""

    event: Event
    server_name: ServerName
    failures: Sequence[Failure]
    """The servers that were asked before."""


class Outsiders:
    """Users of one of our servers, outside of rooms."""

    def __init__(self, resident: Resident) -> None:
        """`resident` is the server where it is in rooms."""
        self._resident = resident
        self._rooms = resident.rooms

    async def leave(
        self,
        room_id: RoomId,
        user: UserId,
        via: Iterable[ServerName],
        profile: Mapping[str, str],
    ) -> Sent | Taken:
        """Let a user leave, decline an invite or take a knock back.

        Raises `Forbidden`, `NoServerHelps` and other `ProtocolError`s.
        """
        wanted = Wanted("leave", room_id, user)
        try:
            done = await self._change(wanted, via, profile)
        except (Forbidden, NotFound, NoServerHelps) as problem:
            pending = await self._resident.pending.find(room_id, user)
            if pending is not None and pending.membership == "invite":
                await self._resident.pending.remove(room_id, user)
                # One of ours that the rules forbid is a kind of `Forbidden`.
                kinds = (Forbidden, NotFound, NoServerHelps)
                kind = next(each for each in kinds if isinstance(problem, each))
                raise kind(f"{problem}; the invite is forgotten") from None
            raise
        await self._resident.pending.remove(room_id, user)
        return done

    async def knock(
        self,
        room_id: RoomId,
        user: UserId,
        via: Iterable[ServerName],
        profile: Mapping[str, str],
    ) -> Sent | Taken:
        """Let a user knock; raises as `leave`."""
        return await self._change(Wanted("knock", room_id, user), via, profile)

    async def _change(
        self, wanted: Wanted, via: Iterable[ServerName], profile: Mapping[str, str]
    ) -> Sent | Taken:
        room = await self._rooms.find(wanted.room_id)
        own, user = self._rooms.server_name, wanted.user
        residents: list[ServerName] = []
        if room is not None:
            if room.has_member(own):
                content: Json = {**profile, "membership": wanted.membership}
                new = NewEvent("m.room.member", user, content, user.user_id)
                return await self._rooms.send(wanted.room_id, new)
            residents = sorted(room.residents, key=str)
        pending = await self._resident.pending.find(wanted.room_id, user)
        known = [] if pending is None else [pending.origin]
        domain = domain_of_room(wanted.room_id)
        candidates = Candidates(own, [*via, *known, *residents, *domain])

        async def through(name: ServerName) -> Event:
            return await self._through(name, wanted, profile)

        what = f"{user} cannot {wanted.membership} {quote(wanted.room_id)}"
        event = await candidates.ask(what, through)
        asked = candidates.names[len(candidates.failures)]
        return Taken(event, asked, list(candidates.failures))

    async def _through(
        self, name: ServerName, wanted: Wanted, profile: Mapping[str, str]
    ) -> Event:
        server = RemoteServer(self._resident.calls, name)
        event = self._rooms.author.completed(await server.template(wanted), profile)
        reply = parse_object(await server.send(wanted.membership, event))
        if wanted.membership == "knock":
            await self._record(event, name, reply)
        return event

    async def _record(self, knock: Event, name: ServerName, reply: Json) -> None:
        """Keep a knock with what a server shows of the room."""
        given = reply.get("knock_room_state")
        items = given if isinstance(given, list) else []
        pdus = [each for each in items if isinstance(each, dict)][:MAX_STATE_EVENTS]
        room = knock.room_id, knock.room_version
        found, _ = await self._resident.checks.all_of_room(pdus, room, name, OURSELVES)
        shown: list[bytes] = []
        left = MAX_STATE_BYTES
        for event in found.values():
            left -= len(event.encoded)
            if left >= 0:
                shown.append(event.encoded)
        await self._resident.pending.record(
            PendingMembership(
                knock.room_id,
                knock.sender,
                name,
                knock.room_version.version,
                knock.encoded,
                b"[" + b",".join(shown) + b"]",
                "knock",
            )
        )
