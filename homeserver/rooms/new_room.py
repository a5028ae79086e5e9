"""A room that is about to be created: what its creator decides.

Rules: presets are those of the Client-server API. What the creator gives replaces what
the preset says.

Specification: Client-server API, "Creation".
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION, RoomVersion
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.creation import opening_events

Preset = Literal["private_chat", "trusted_private_chat", "public_chat"]

_OWNERS_LEVEL = 100


class NewRoom(Struct, frozen=True, kw_only=True):
    """A room to create."""

    creator: UserId
    room_version: RoomVersion = DEFAULT_ROOM_VERSION
    preset: Preset = "private_chat"
    content: Json = {}
    """Further members of the create event's content: `type`, `m.federate`."""

    power_levels: Json = {}
    """Members of the first power levels, in place of the usual ones."""

    initial_state: Sequence[NewEvent] = ()
    """State events, in place of those of the preset that have the same key."""

    name: str | None = None
    topic: str | None = None
    invited: Sequence[UserId] = ()
    """The users that are invited later: a trusted preset gives them power."""

    is_listed: bool = False
    """Whether it is in the list of public rooms."""

    @property
    def events(self) -> list[NewEvent]:
        """The events that follow the create event, in their order."""
        join_rule = "public" if self.preset == "public_chat" else "invite"
        opening = opening_events(self.creator, self.room_version, join_rule)
        guests = "forbidden" if self.preset == "public_chat" else "can_join"
        events = {(each.type, each.state_key): each for each in opening}
        self._set(events, "m.room.guest_access", {"guest_access": guests})
        levels = events["m.room.power_levels", ""].content | self._trusted_levels(
            events["m.room.power_levels", ""].content
        )
        self._set(events, "m.room.power_levels", levels | self.power_levels)
        if self.name is not None:
            self._set(events, "m.room.name", {"name": self.name})
        if self.topic is not None:
            self._set(events, "m.room.topic", {"topic": self.topic})
        events |= {(each.type, each.state_key): each for each in self.initial_state}
        return list(events.values())

    def _set(
        self,
        events: dict[tuple[str, str | None], NewEvent],
        kind: str,
        content: Json,
    ) -> None:
        events[kind, ""] = NewEvent(kind, self.creator, content, "")

    def _trusted_levels(self, levels: Json) -> Json:
        if self.preset != "trusted_private_chat":
            return {}
        users = levels["users"]
        own = users if isinstance(users, dict) else {}
        return {"users": own | {x.user_id: _OWNERS_LEVEL for x in self.invited}}
