"""What a server in a room has to check before it answers another server about it.

Rules: only a server with a user in the room answers. The server ACL of the room applies
to the origin of each request, and comes before everything else that is known of the
room.

Specification: Server-server API, "Server Access Control Lists (ACLs)".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from homeserver.outbound.calls import FederationCalls
from homeserver.protocol.errors import Forbidden, NotFound, quote
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.restricted_joins import allowed_rooms, authorising_user
from homeserver.protocol.rooms.server_acl import may_take_part
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.checking import EventChecks
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.question import Question
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.storage.pending_memberships import PendingStore

_T = TypeVar("_T")

MAX_ALLOWED_ROOMS = 50  # of a join rule: each is looked for


class Resident:
    """One of our servers, where it is in rooms."""

    def __init__(
        self,
        rooms: Rooms,
        pending: PendingStore,
        checks: EventChecks,
        calls: FederationCalls,
        policy_desk: PolicyDesk,
    ) -> None:
        """`pending` has invites and knocks of our users in rooms that we are not in."""
        self.calls = calls
        self.rooms = rooms
        self.pending = pending
        self.checks = checks
        self.policy_desk = policy_desk

    @property
    def server_name(self) -> ServerName:
        """Our name."""
        return self.rooms.server_name

    async def room(self, question: Question) -> Room:
        """The room of a question; raises `NotFound` and `Forbidden`."""
        return await self.room_for(question.room_id, question.origin)

    async def room_for(self, room_id: RoomId, origin: ServerName) -> Room:
        """A room that we are in, for a server whose requests it accepts.

        Raises `NotFound` and `Forbidden`.
        """
        room = await self.rooms.known(room_id)
        self.check_acl(room, origin)
        if not room.has_member(self.server_name):
            raise NotFound(f"no user of {self.server_name} is in {quote(room_id)}")
        return room

    async def shared_room(self, question: Question) -> Room:
        """A room that we and the origin of a question are in; raises as `room`."""
        room = await self.room(question)
        self.check_member(room, question.origin)
        return room

    def check_acl(self, room: Room, origin: ServerName) -> None:
        """Raise `Forbidden` if the room's ACL denies a server."""
        if not may_take_part(room.current, origin):
            raise Forbidden(f"the server ACL of {quote(room.room_id)} denies {origin}")

    def check_member(self, room: Room, origin: ServerName) -> None:
        """Raise `Forbidden` if no user of a server is in the room."""
        if origin not in room.residents:
            raise Forbidden(f"no user of {origin} is in {quote(room.room_id)}")

    async def authorising_user(self, room: Room, user: UserId) -> UserId:
        """The user of ours that authorises a join to a restricted room.

        Raises `UnableToAuthoriseJoin`, `UnableToGrantJoin` and `Forbidden`.
        """
        answers: Mapping[RoomId, bool | None] = {
            room_id: await self._is_in(room_id, user)
            for room_id in allowed_rooms(room.current)[:MAX_ALLOWED_ROOMS]
        }
        return authorising_user(
            room.current, room.room_version, self.server_name, answers.get
        )

    async def at_end(
        self,
        room: Room,
        new: NewEvent,
        make: Callable[[Room, NewEvent], Awaitable[_T]],
    ) -> _T:
        """What a method of `Author` makes of a new event that another server signs.

        No change of the room is under way meanwhile: the event would cite what may be
        lost, and what another process of ours, which may get it back, does not know.
        Raises as the method.
        """
        async with self.rooms.turn(room.room_id) as turn:
            return await make(turn.room, new)

    async def _is_in(self, room_id: RoomId, user: UserId) -> bool | None:
        room = await self.rooms.find(room_id)
        if room is None or not room.has_member(self.server_name):
            return None
        return membership(room.current, user.user_id) == "join"
