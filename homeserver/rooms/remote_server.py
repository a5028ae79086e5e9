"""Another server, asked for the memberships of our users in its rooms.

Rules: a template is compared with what was asked for, and an invite that comes back
signed with the one that was sent; the caller checks what else a reply has. A route of
version 2 is asked first; where a server does not know it, that of version 1, whose
reply is a list of 200 and the same object.

Specification: Server-server API, "Joining Rooms", "Knocking upon a room", "Leaving
Rooms (Rejecting Invites)", "Inviting to a room", "Querying for information".
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import USUAL, WHOLE_STATE, Call, FederationCalls
from homeserver.outbound.client import Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.protocol.canonical_json import (
    Json,
    as_list,
    as_object,
    as_text,
    parse_object,
)
from homeserver.protocol.errors import MISSING, BadJson, InvalidParam, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.federation_paths import V1, V2
from homeserver.protocol.identifiers import RoomId, ServerName, parse_room_id
from homeserver.protocol.rooms.templates import (
    Template,
    Wanted,
    add_countersignature,
    read_template,
)

_MAX_SERVERS = 20  # of the reply about an alias: as many as could be asked in a minute


class AliasTarget(Struct, frozen=True):
    """The room that an alias leads to."""

    room_id: RoomId
    servers: Sequence[ServerName]
    """Some that are in the room."""


class RemoteServer:
    """One other server."""

    def __init__(
        self, calls: FederationCalls, name: ServerName, cause: Cause = OURSELVES
    ) -> None:
        """Requests are charged to `cause`."""
        self._calls = calls
        self.name = name
        self._cause = cause

    async def template(self, wanted: Wanted) -> Template:
        """The event of a membership, to be signed by us.

        Raises `Unreachable`, `Refused`, and `ProtocolError` for an unusable template.
        """
        route = f"make_{wanted.membership}"
        versions = () if wanted.membership == "leave" else ROOM_VERSIONS
        call = Call(
            method="GET",
            path=federation_target(route, wanted.room_id, wanted.user.user_id),
            route=f"{V1}/{route}/{{roomId}}/{{userId}}",
            query=[("ver", each) for each in versions],
        )
        reply = await self._calls.ask(self.name, call, self._cause)
        return read_template(reply, wanted)

    async def send(self, membership: str, event: Event) -> bytes:
        """Send the signed event of a membership; returns the reply, a JSON object.

        The reply to a join is as large as the room. Raises `Unreachable`, `Refused`,
        and `BadJson` for a reply that is no JSON object.
        """
        route = f"send_{membership}"
        limits = WHOLE_STATE if membership == "join" else USUAL
        if membership == "knock":  # younger than version 2 of the other routes
            return await self._put(V1, route, event, event.pdu, limits)
        try:
            return await self._put(V2, route, event, event.pdu, limits)
        except Refused as refused:
            if not refused.is_of_unknown_route:
                raise
        return _second(await self._put(V1, route, event, event.pdu, limits))

    async def invite(self, event: Event, shown: Sequence[Event]) -> Event:
        """An invite of ours with the signature of the invited user's server.

        `shown` is what the invited user is told of the room. The caller verifies the
        signature. Raises `Unreachable`, `Refused`, and `ProtocolError` for another
        event, or one that is not signed.
        """
        version = event.room_version
        state = [each.pdu for each in shown]
        body: Json = {
            "event": event.pdu,
            "room_version": version.version,
            "invite_room_state": state,
        }
        try:
            text = await self._put(V2, "invite", event, body)
        except Refused as refused:
            # Version 1 of the route takes events of the first two room versions alone.
            is_old = version.id_format is IdFormat.SENT
            if not (is_old and refused.is_of_unknown_route):
                raise
            unsigned = as_object(event.pdu.get("unsigned", {}), "`unsigned`")
            with_state = {**unsigned, "invite_room_state": state}
            old = {**event.pdu, "unsigned": with_state}
            text = _second(await self._put(V1, "invite", event, old))
        reply = parse_object(text)
        answered = Event.parse(
            as_object(reply.get("event", MISSING), "`event`"), version
        )
        return add_countersignature(event, answered, self.name)

    async def alias(self, alias: str) -> AliasTarget:
        """The room of an alias of this server; raises as `template`."""
        call = Call(
            method="GET",
            path=federation_target("query", "directory"),
            route=f"{V1}/query/directory",
            query=[("room_alias", alias)],
        )
        reply = await self._calls.ask(self.name, call, self._cause)
        room_id = parse_room_id(as_text(reply.get("room_id", MISSING), "`room_id`"))
        servers = as_list(reply.get("servers", []), "`servers`")
        return AliasTarget(room_id, read_servers(servers[:_MAX_SERVERS]))

    async def _put(
        self, base: str, route: str, event: Event, body: Json, limits: Limits = USUAL
    ) -> bytes:
        call = Call(
            method="PUT",
            path=federation_target(route, event.room_id, event.event_id, base=base),
            route=f"{base}/{route}/{{roomId}}/{{eventId}}",
            content=body,
            limits=limits,
        )
        return await self._calls.ask_text(self.name, call, self._cause)


def read_servers(names: Sequence[object]) -> list[ServerName]:
    """The server names among some values, each once, in their order."""
    found: dict[ServerName, None] = {}
    for each in names:
        try:
            found[ServerName.parse(as_text(each, "a server name"))] = None
        except (BadJson, InvalidParam):
            continue
    return list(found)


def _second(text: bytes) -> bytes:
    """The object of a reply of version 1; raises `BadJson`."""
    try:
        status, reply = msgspec.json.decode(text, type=tuple[int, Raw])
    except (msgspec.DecodeError, RecursionError):
        raise BadJson(f"not a list of 200 and an object: {quote(text)}") from None
    if status != 200:
        raise BadJson(f"a list of {status}, not of 200")
    return bytes(reply)
