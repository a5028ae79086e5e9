"""Users of ours in rooms that other servers are in: joins, by ID or by alias.

Rules: nothing here is done but on request. An alias is asked of the server that it
names.

Specification: Server-server API, "Joining Rooms", "Querying for information".
"""

from collections.abc import Iterable, Mapping

from homeserver.protocol.errors import NotFound, quote
from homeserver.protocol.identifiers import (
    ServerName,
    UserId,
    parse_alias,
    parse_room_id,
)
from homeserver.rooms.candidates import Candidates
from homeserver.rooms.joining import Joined, Joiner
from homeserver.rooms.remote_server import AliasTarget, RemoteServer
from homeserver.rooms.resident import Resident


class Elsewhere:
    """One of our servers, where other servers are asked for it."""

    def __init__(self, resident: Resident, joiner: Joiner) -> None:
        """`resident` is the server where it is in rooms."""
        self.resident = resident
        self._joiner = joiner

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
        target = await self.find(room)
        return await self._joiner.join(
            target.room_id, user, [*via, *target.servers], profile
        )
