"""Rooms of a target of ours, made as `--setup` would make them."""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.app.endpoint import Endpoint
from homeserver.conformance.setup import SetupFailed
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.new_room import NewRoom


class TargetRooms:
    """Makes rooms of one of an endpoint's servers, which has its media already."""

    def __init__(
        self, endpoint: Endpoint, name: ServerName, media_id: str = ""
    ) -> None:
        self._media_id = media_id
        self._endpoint = endpoint
        self._name = name
        self._count = 0

    async def make(self, need: str, **details: object) -> Json:
        """As `Maker`."""
        if need == "media":
            return {"media_id": self._media_id}
        if need == "restart":
            # Nothing that it has to remember is in its memory alone.
            return {}
        if need == "join":
            return await self._join(**details)  # type: ignore[arg-type]  # from our own code
        if need != "room":
            raise SetupFailed(f"cannot make: {need}")
        return await self._room(**details)  # type: ignore[arg-type]  # from our own code

    async def _join(self, user_id: str, room_id: str, via: str) -> Json:
        elsewhere = self._endpoint.parts.servers[self._name].elsewhere
        try:
            user, server = UserId.parse(user_id), ServerName.parse(via)
            await elsewhere.join(room_id, user, [server])
        except ProtocolError as problem:
            raise SetupFailed(str(problem)) from None
        return {}

    async def _room(
        self,
        version: str,
        state: Mapping[str, Any] | None = None,
        power_levels: Json | None = None,
        invite: Sequence[str] = (),
        ban: Sequence[str] = (),
    ) -> Json:
        rooms = self._endpoint.parts.servers[self._name].rooms
        creator = UserId.parse(f"@owner:{self._name}")
        levels = dict(power_levels or {})
        if "users" in levels:
            others = as_object(levels["users"], "users")
            levels["users"] = {creator.user_id: 100, **others}
        room = await rooms.create(
            NewRoom(
                creator=creator,
                room_version=parse_room_version(version),
                preset="public_chat",
                power_levels=levels,
                initial_state=[
                    NewEvent(kind, creator, content, "")
                    for kind, content in (state or {}).items()
                ],
            )
        )
        for membership, users in (("invite", invite), ("ban", ban)):
            for each in users:
                content: Json = {"membership": membership}
                new = NewEvent("m.room.member", creator, content, each)
                await rooms.send(room.room_id, new)
        self._count += 1
        alias = f"#room-{self._count}:{self._name}"
        await rooms.directory.add_alias(alias, room.room_id)
        return {"room_id": room.room_id, "alias": alias}
