"""What the control API does for users of ours in rooms that other servers are in.

Rules: a room is named by its ID or by an alias. Other servers are asked only for what
cannot be done here: a room that a user of ours is in needs none for a join.
"""

from collections.abc import Callable, Mapping

from homeserver.control.routing import Call
from homeserver.control.views import Nothing
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.rooms.control_bodies import (
    JoinBody,
)
from homeserver.rooms.control_views import (
    JoinedView,
)
from homeserver.rooms.elsewhere import Elsewhere


class RoomMemberships:
    """Takes users of a server into rooms as the control API asks."""

    def __init__(self, elsewhere: Callable[[], Elsewhere]) -> None:
        """`elsewhere` is called for each request: few servers ever need it."""
        self._elsewhere = elsewhere

    async def join(self, call: Call[Nothing, JoinBody]) -> JoinedView:
        """Let a user join a room, through servers that are in it if need be."""
        elsewhere, body = self._elsewhere(), call.body
        joined = await elsewhere.join(
            room_in(call.parameters),
            user_of(body.user_id, elsewhere.server_name),
            [ServerName.parse(each) for each in body.via],
            _profile(body),
        )
        return JoinedView.of(joined)


def room_in(parameters: Mapping[str, bytes]) -> str:
    """The ID or the alias that the path of a request names."""
    return parameters["room"].decode("utf-8", "replace")


def user_of(text: str | None, own: ServerName) -> UserId:
    """A user of ours, by default the one called `creator`; raises `InvalidParam`."""
    return UserId.parse(text or f"@creator:{own}")


def _profile(body: JoinBody) -> dict[str, str]:
    members = {
        "avatar_url": body.avatar_url,
        "displayname": body.displayname,
        "reason": body.reason,
    }
    return {key: text for key, text in members.items() if text is not None}
