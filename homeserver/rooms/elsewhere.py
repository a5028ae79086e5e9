"""What our users do to rooms with the help of other servers, by room ID or alias.

Rules: nothing here is done but on request. An alias is asked of the server that it
names. An invite of another server's user is part of the room once that server has
signed it, and not before.

Specification: Server-server API, "Joining Rooms", "Inviting to a room", "Querying for
information".
"""

from collections.abc import Iterable, Mapping

from homeserver.net.cause import OURSELVES
from homeserver.protocol.errors import NotFound, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import (
    RoomId,
    ServerName,
    UserId,
    parse_alias,
    parse_room_id,
)
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.backfill import Backfill
from homeserver.rooms.candidates import Candidates
from homeserver.rooms.entry import Sent
from homeserver.rooms.joining import Joined, Joiner
from homeserver.rooms.memberships import shown_state
from homeserver.rooms.outsiders import Outsiders, Taken
from homeserver.rooms.remote_server import AliasTarget, RemoteServer
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room


class Elsewhere:
    """One of our servers, where other servers are asked for it."""

    def __init__(
        self,
        resident: Resident,
        joiner: Joiner,
        outsiders: Outsiders,
        backfill: Backfill,
    ) -> None:
        """`resident` is the server where it is in rooms."""
        self.resident = resident
        self.backfill = backfill
        self._joiner = joiner
        self._outsiders = outsiders

    @property
    def server_name(self) -> ServerName:
        """Our name."""
        return self.resident.server_name

    async def find(self, room: str) -> AliasTarget:
        """The room of an ID or an alias, with servers of it as far as they are told.

        Raises `InvalidParam`, and for an alias `NotFound` and `NoServerHelps`.
        """
        if not room.startswith("#"):
            return AliasTarget(parse_room_id(room), [])
        named = parse_alias(room)
        if named == self.server_name:
            room_id = await self.resident.rooms.directory.alias(room)
            if room_id is None:
                raise NotFound(f"the alias {quote(room)} is not known here")
            return AliasTarget(room_id, [])

        async def asked(name: ServerName) -> AliasTarget:
            return await RemoteServer(self.resident.calls, name).alias(room)

        candidates = Candidates(self.server_name, [named])
        found = await candidates.ask(f"the alias {quote(room)} leads nowhere", asked)
        return AliasTarget(found.room_id, [*found.servers, named])

    async def join(
        self,
        room: str,
        user: UserId,
        via: Iterable[ServerName] = (),
        profile: Mapping[str, str] | None = None,
    ) -> Joined:
        """As `Joiner.join`, by a room's ID or its alias; raises as `find` as well."""
        room_id, names = await self._with_servers(room, via)
        return await self._joiner.join(room_id, user, names, profile)

    async def leave(
        self,
        room: str,
        user: UserId,
        via: Iterable[ServerName] = (),
        profile: Mapping[str, str] | None = None,
    ) -> Sent | Taken:
        """As `Outsiders.leave`, by a room's ID or its alias."""
        room_id, names = await self._with_servers(room, via)
        return await self._outsiders.leave(room_id, user, names, profile or {})

    async def knock(
        self,
        room: str,
        user: UserId,
        via: Iterable[ServerName] = (),
        profile: Mapping[str, str] | None = None,
    ) -> Sent | Taken:
        """As `Outsiders.knock`, by a room's ID or its alias."""
        room_id, names = await self._with_servers(room, via)
        return await self._outsiders.knock(room_id, user, names, profile or {})

    async def invite(self, room: Room, invite: NewEvent) -> Sent:
        """Invite a user of another server to a room that we are in.

        Raises `NotAllowed` where the rules do not allow it, `Forbidden` or
        `NoServerHelps` where that server does not sign it, and `InvalidParam`.
        """
        resident = self.resident
        resident.rooms.check_is_ours(invite.sender)
        user = UserId.parse(invite.state_key or "")
        made = await resident.at_end(room, invite, resident.rooms.author.make)
        event = await resident.rooms.recommend(made, room.current, OURSELVES)

        async def signed(name: ServerName) -> Event:
            server = RemoteServer(resident.calls, name)
            answered = await server.invite(event, shown_state(room))
            return await resident.checks.countersigned(answered, name, OURSELVES)

        asked = Candidates(self.server_name, [user.server_name])
        whole = await asked.ask(f"{user} is not invited", signed)
        return await resident.rooms.change(
            room.room_id, lambda turn: resident.rooms.enter(turn, whole)
        )

    async def _with_servers(
        self, room: str, via: Iterable[ServerName]
    ) -> tuple[RoomId, list[ServerName]]:
        """The ID of a room, and the servers to ask; raises as `find`."""
        target = await self.find(room)
        return target.room_id, [*via, *target.servers]
