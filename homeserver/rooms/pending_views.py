"""The answers of the control API about invites and knocks, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from homeserver.control.views import Event
from homeserver.rooms.control_views import RoomIdText
from homeserver.storage.pending_memberships import PendingMembership


class InviteView(Struct, frozen=True):
    """An invite of a user of ours to a room that no user of ours is in."""

    room_id: RoomIdText
    user_id: Annotated[str, Meta(description="The invited user.")]
    origin: Annotated[str, Meta(description="The server that sent it.")]
    room_version: str
    event: Event
    room_state: Annotated[
        list[Event], Meta(description="What came with it of the room, unchecked.")
    ]

    @classmethod
    def of(cls, invite: PendingMembership) -> "InviteView":
        """That of an invite."""
        return cls(
            invite.room_id,
            invite.user.user_id,
            invite.origin.name,
            invite.room_version,
            Raw(invite.event),
            msgspec.json.decode(invite.room_state, type=list[Raw]),
        )


class InviteList(Struct, frozen=True):
    """The invites that wait for an answer, oldest first."""

    invites: list[InviteView]


class KnockView(Struct, frozen=True):
    """A knock of a user of ours at a room that no user of ours is in."""

    room_id: RoomIdText
    user_id: Annotated[str, Meta(description="The user that knocks.")]
    through: Annotated[str, Meta(description="The server that took it in.")]
    room_version: str
    event: Event
    room_state: Annotated[
        list[Event],
        Meta(description="What that server showed of the room, as far as it verifies."),
    ]

    @classmethod
    def of(cls, knock: PendingMembership) -> "KnockView":
        """That of a knock."""
        return cls(
            knock.room_id,
            knock.user.user_id,
            knock.origin.name,
            knock.room_version,
            Raw(knock.event),
            msgspec.json.decode(knock.room_state, type=list[Raw]),
        )


class KnockList(Struct, frozen=True):
    """The knocks that wait for an answer, oldest first."""

    knocks: list[KnockView]
