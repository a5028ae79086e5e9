"""What the control API changes in the rooms of one of our servers.

Rules: what is asked for is made as an event of ours, by the rules of the room. Other
servers are asked for what cannot be done without them: to sign the invite of a user of
theirs, to take the leave of a user whose room no user of ours is in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeserver.control.routing import Call
from homeserver.control.views import Nothing
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import (
    EventId,
    ServerName,
    UserId,
    parse_alias,
    parse_room_id,
)
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import CREATE, membership
from homeserver.rooms.author import USUAL, Given
from homeserver.rooms.control_bodies import (
    BackfillBody,
    JoinBody,
    LeaveBody,
    MembershipBody,
    NewEventBody,
    NewRoomBody,
    RedactionBody,
)
from homeserver.rooms.control_views import (
    BackfilledView,
    RoomEventView,
    RoomView,
)
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.room import REDACTION, Room
from homeserver.rooms.rooms import Rooms

_Reasoned = MembershipBody | LeaveBody | JoinBody
_MEMBER = "m.room.member"
_ALIAS = "m.room.canonical_alias"


def room_text(parameters: Mapping[str, bytes]) -> str:
    """The room of a path as it stands there: an ID, or an alias."""
    return parameters["room_id"].decode("utf-8", "replace")


def servers_in(via: Sequence[str]) -> list[ServerName]:
    """The servers that a request names; raises `InvalidParam`."""
    return [ServerName.parse(each) for each in via]


def reason_in(body: _Reasoned) -> dict[str, str]:
    """What a reason adds to the content of a membership."""
    return {} if body.reason is None else {"reason": body.reason}


async def room_in_path(rooms: Rooms, parameters: Mapping[str, bytes]) -> Room:
    """The room that the path of a request names.

    Raises `InvalidParam` and `NotFound`.
    """
    return await rooms.known(parse_room_id(room_text(parameters)))


class RoomChanges:
    """Changes the rooms of a server as the control API asks."""

    def __init__(self, rooms: Rooms, elsewhere: Callable[[], Elsewhere]) -> None:
        """`elsewhere` is called for each request: few servers ever need it."""
        self._rooms = rooms
        self._elsewhere = elsewhere

    async def create(self, call: Call[Nothing, NewRoomBody]) -> RoomView:
        """Create a room, whose only member is its creator."""
        body, own = call.body, self._rooms.server_name
        creator = UserId.parse(body.creator or f"@creator:{own}")
        state = [
            NewEvent(each.type, creator, each.content, each.state_key)
            for each in body.initial_state
        ]
        if body.alias is not None:
            await self._check_alias(body.alias)
            state.append(NewEvent(_ALIAS, creator, {"alias": body.alias}, ""))
        new = NewRoom(
            creator=creator,
            room_version=parse_room_version(body.room_version),
            preset=body.preset,
            content=body.creation_content,
            power_levels=body.power_levels,
            initial_state=state,
            name=body.name,
            topic=body.topic,
            is_listed=body.is_listed,
        )
        room = await self._rooms.create(new)
        if body.alias is not None:
            added = await self._rooms.directory.add_alias(body.alias, room.room_id)
            if not added:
                await self._rooms.forget(room.room_id)
                raise _taken(body.alias)
        return RoomView.of(room)

    async def send(self, call: Call[Nothing, NewEventBody]) -> RoomEventView:
        """Make an event in a room, and send it to the room's servers."""
        body = call.body
        room = await self._room(call.parameters)
        redacts = None if body.redacts is None else EventId(body.redacts)
        sender = self._sender(room, body.sender)
        new = NewEvent(body.type, sender, body.content, body.state_key, redacts)
        given = Given(
            prev_events=_event_ids(body.prev_events),
            auth_events=_event_ids(body.auth_events),
            depth=body.depth,
            origin_server_ts=body.origin_server_ts,
        )
        return await self._send(room, new, given)

    async def invite(self, call: Call[Nothing, MembershipBody]) -> RoomEventView:
        """Invite a user to a room; the user's own server signs the invite as well."""
        body = call.body
        if UserId.parse(body.user_id).server_name == self._rooms.server_name:
            return await self._change(call, "invite", body)
        room = await self._room(call.parameters)
        new = self._membership(room, "invite", body)
        return RoomEventView.of(await self._elsewhere().invite(room, new))

    async def ban(self, call: Call[Nothing, MembershipBody]) -> RoomEventView:
        """Ban a user from a room."""
        return await self._change(call, "ban", call.body)

    async def leave(self, call: Call[Nothing, LeaveBody]) -> RoomEventView:
        """Let a user leave a room or decline an invite, or kick the user."""
        body = call.body
        if body.sender not in {None, body.user_id}:
            kick = MembershipBody(body.user_id, body.sender, body.reason)
            return await self._change(call, "leave", kick)
        user = UserId.parse(body.user_id)
        self._check_is_ours(user)
        done = await self._elsewhere().leave(
            room_text(call.parameters), user, servers_in(body.via), reason_in(body)
        )
        return RoomEventView.of(done)

    async def redact(self, call: Call[Nothing, RedactionBody]) -> RoomEventView:
        """Redact an event of a room."""
        room, body = await self._room(call.parameters), call.body
        content: Json = {} if body.reason is None else {"reason": body.reason}
        sender = self._sender(room, body.sender)
        new = NewEvent(REDACTION, sender, content, None, EventId(body.event_id))
        return await self._send(room, new)

    async def backfill(self, call: Call[Nothing, BackfillBody]) -> BackfilledView:
        """Fetch events of before those that are known, from servers of the room."""
        body = call.body
        start = None if body.from_event is None else EventId(body.from_event)
        room = await self._room(call.parameters)
        done = await self._elsewhere().backfill.fetch(
            room.room_id, body.limit, start, servers_in(body.via)
        )
        return BackfilledView.of(done)

    async def _room(self, parameters: Mapping[str, bytes]) -> Room:
        return await room_in_path(self._rooms, parameters)

    def _sender(self, room: Room, given: str | None) -> UserId:
        if given is not None:
            return UserId.parse(given)
        own, current = self._rooms.server_name, room.current
        create = current.get(CREATE)
        users = [] if create is None else [create.sender.user_id]
        users += sorted(key for kind, key in current if kind == _MEMBER)
        for each in users:
            if membership(current, each) == "join":
                user = UserId.parse(each)
                if user.server_name == own:
                    return user
        raise InvalidParam(f"no user of {own} is in the room; give a `sender`")

    async def _change(
        self, call: Call[Nothing, Any], kind: str, body: MembershipBody
    ) -> RoomEventView:
        room = await self._room(call.parameters)
        return await self._send(room, self._membership(room, kind, body))

    def _membership(self, room: Room, kind: str, body: MembershipBody) -> NewEvent:
        content: Json = {"membership": kind, **reason_in(body)}
        user, sender = UserId.parse(body.user_id), self._sender(room, body.sender)
        return NewEvent(_MEMBER, sender, content, user.user_id)

    def _check_is_ours(self, user: UserId) -> None:
        if user.server_name != self._rooms.server_name:
            raise InvalidParam(
                f"{quote(str(user))} is another server's user; a `sender` of ours kicks"
            )

    async def _send(
        self, room: Room, new: NewEvent, given: Given = USUAL
    ) -> RoomEventView:
        try:
            sent = await self._rooms.send(room.room_id, new, given)
        except UnknownAuthEvent as problem:
            raise InvalidParam(f"`auth_events`: {problem}") from None
        return RoomEventView.of(sent)

    async def _check_alias(self, alias: str) -> None:
        own, named = self._rooms.server_name, parse_alias(alias)
        if named != own:
            raise InvalidParam(f"`alias` is one of {named}, not of {own}")
        if await self._rooms.directory.alias(alias) is not None:
            raise _taken(alias)


def _taken(alias: str) -> InvalidParam:
    return InvalidParam(f"`alias` {quote(alias)} leads to another room already")


def _event_ids(given: list[str] | None) -> list[EventId] | None:
    return None if given is None else [*map(EventId, given)]
