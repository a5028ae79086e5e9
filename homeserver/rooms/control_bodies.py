"""The bodies and queries of the control API about rooms, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from homeserver.control.parameters import MAX_LIMIT, Limit, Wait
from homeserver.control.views import Object
from homeserver.rooms.backfill import MAX_FETCHED
from homeserver.rooms.control_views import EventIdText
from homeserver.rooms.new_room import Preset

Sender = Annotated[
    str | None,
    Meta(
        description="A user of ours; by default the creator of the room or else the "
        "first user of ours in it, by their IDs."
    ),
]
User = Annotated[str, Meta(description="The user that it is about.")]
OurUser = Annotated[
    str | None,
    Meta(description="A user of ours; by default the one called `creator`."),
]
Via = Annotated[
    list[str],
    Meta(
        description="Servers in the room that are asked, in this order, before those "
        "that an alias, an invite and the room's ID name."
    ),
]
Said = Annotated[str | None, Meta(description="A reason that the event gives.")]


class NewStateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A state event of a new room."""

    type: str
    content: Object
    state_key: str = ""


class NewRoomBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A room to create; each member may be left out."""

    room_version: str = "12"
    preset: Preset = "private_chat"
    creator: Annotated[
        str | None,
        Meta(description="A user of ours; by default the one called `creator`."),
    ] = None
    alias: Annotated[
        str | None, Meta(description="An alias of our server, as in `#room:a.org`.")
    ] = None
    name: str | None = None
    topic: str | None = None
    initial_state: Annotated[
        list[NewStateBody],
        Meta(description="In place of the state of the preset with the same key."),
    ] = []
    power_levels: Annotated[
        Object, Meta(description="Members of the power levels, beside the usual ones.")
    ] = {}
    creation_content: Annotated[
        Object, Meta(description="Further members of the create event's content.")
    ] = {}
    is_listed: Annotated[
        bool, Meta(description="Whether the list of public rooms has it.")
    ] = False


class NewEventBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An event to make, to enter and to send to the servers of the room."""

    type: str
    content: Object = {}
    state_key: Annotated[
        str | None, Meta(description="Makes it a state event; null for others.")
    ] = None
    sender: Sender = None
    redacts: Annotated[
        str | None, Meta(description="The event that a redaction redacts.")
    ] = None
    prev_events: Annotated[
        list[str] | None,
        Meta(description="In place of the ends of the room: this makes a fork."),
    ] = None
    auth_events: Annotated[
        list[str] | None,
        Meta(description="In place of those that the rules select."),
    ] = None
    depth: int | None = None
    origin_server_ts: Annotated[
        int | None, Meta(description="By default the time now.")
    ] = None


class MembershipBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A change of a user's membership."""

    user_id: User
    sender: Sender = None
    reason: Said = None


class LeaveBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A user that leaves or declines an invite, or is made to leave."""

    user_id: User
    sender: Annotated[
        str | None,
        Meta(description="By default the user itself; another one kicks the user."),
    ] = None
    reason: Said = None
    via: Via = []


class JoinBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A user that joins a room, or knocks at it."""

    user_id: OurUser = None
    via: Via = []
    displayname: str | None = None
    avatar_url: str | None = None
    reason: Said = None


class RedactionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An event to redact."""

    event_id: EventIdText
    sender: Sender = None
    reason: Said = None


class BackfillBody(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"from_event": "from"}
):
    """History to fetch; each member may be left out."""

    from_event: Annotated[
        str | None,
        Meta(description="Only what leads to this event; by default to all events."),
    ] = None
    limit: Annotated[
        int, Meta(ge=1, le=MAX_FETCHED, description="How many events, at most.")
    ] = 100
    via: Via = []


class RoomsPage(Struct, frozen=True):
    """Which rooms."""

    after: Annotated[
        str, Meta(description="The ID of the last room that the client has.")
    ] = ""
    limit: Limit = 100


class AtEvent(Struct, frozen=True):
    """Which state."""

    at: Annotated[
        str | None,
        Meta(description="The state after this event; the current one by default."),
    ] = None
    before: Annotated[
        bool, Meta(description="Whether the state before the event is meant.")
    ] = False


class WithMembership(Struct, frozen=True):
    """Which members."""

    membership: Annotated[
        Literal["join", "invite", "leave", "ban", "knock"] | None,
        Meta(description="Only those with this membership."),
    ] = None


_After = Annotated[
    int,
    Meta(ge=0, description="The `next` of the last page: how many were before."),
]


class EventPage(Struct, frozen=True):
    """Which events of a room, and how long to wait for one."""

    after: _After = 0
    limit: Limit = 100
    wait: Wait = 0.0


class GraphPage(Struct, frozen=True):
    """Which events of a room."""

    after: _After = 0
    limit: Annotated[
        int, Meta(ge=0, le=MAX_LIMIT, description="How many events, at most.")
    ] = MAX_LIMIT
    format: Annotated[
        Literal["json", "dot", "svg"],
        Meta(
            description="With `dot` (for Graphviz) or `svg`, the answer has a drawing "
            "of these events as well."
        ),
    ] = "json"
