"""What the control API does for users of ours who are not in a room yet.

Rules: a room is named by its ID or by an alias. Other servers are asked only for what
cannot be done here: a room that a user of ours is in needs none for a join.
"""

from collections.abc import Callable

from homeserver.control.routing import Call
from homeserver.control.views import Nothing
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.rooms.control_bodies import JoinBody
from homeserver.rooms.control_changes import reason_in, room_text, servers_in
from homeserver.rooms.control_views import (
    JoinedView,
    RoomEventView,
)
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.pending_views import InviteList, InviteView, KnockList, KnockView


class RoomMemberships:
    """Takes users of a server into rooms as the control API asks."""

    def __init__(self, elsewhere: Callable[[], Elsewhere]) -> None:
        """`elsewhere` is called for each request: few servers ever need it."""
        self._elsewhere = elsewhere

    async def join(self, call: Call[Nothing, JoinBody]) -> JoinedView:
        """Let a user join a room, through servers that are in it if need be."""
        elsewhere, body = self._elsewhere(), call.body
        joined = await elsewhere.join(
            room_text(call.parameters),
            _user(body, elsewhere.server_name),
            servers_in(body.via),
            _profile(body),
        )
        return JoinedView.of(joined)

    async def invites(self, call: Call[Nothing, Nothing]) -> InviteList:
        """The invites of users to rooms of other servers, to join or to leave."""
        found = await self._elsewhere().resident.pending.all("invite")
        return InviteList([*map(InviteView.of, found)])

    async def knocks(self, call: Call[Nothing, Nothing]) -> KnockList:
        """The knocks of users at rooms of other servers that wait for an answer."""
        found = await self._elsewhere().resident.pending.all("knock")
        return KnockList([*map(KnockView.of, found)])

    async def knock(self, call: Call[Nothing, JoinBody]) -> RoomEventView:
        """Let a user knock at a room, through servers that are in it if need be."""
        elsewhere, body = self._elsewhere(), call.body
        done = await elsewhere.knock(
            room_text(call.parameters),
            _user(body, elsewhere.server_name),
            servers_in(body.via),
            _profile(body),
        )
        return RoomEventView.of(done)


def _user(body: JoinBody, own: ServerName) -> UserId:
    user = UserId.parse(body.user_id or f"@creator:{own}")
    if user.server_name != own:
        raise InvalidParam(f"{quote(str(user))} is not a user of {own}")
    return user


def _profile(body: JoinBody) -> dict[str, str]:
    members = {"avatar_url": body.avatar_url, "displayname": body.displayname}
    given = {key: text for key, text in members.items() if text is not None}
    return given | reason_in(body)
