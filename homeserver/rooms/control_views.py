"""The bodies, queries and answers of the control API about rooms, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from homeserver.control.parameters import MAX_LIMIT, Limit
from homeserver.control.views import Event, Object, Time
from homeserver.rooms.new_room import Preset
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Sent

RoomIdText = Annotated[str, Meta(description="The ID of a room.")]
EventIdText = Annotated[str, Meta(description="The ID of an event.")]
Verdict = Annotated[
    Literal["accepted", "soft-failed", "rejected", "outlier"],
    Meta(description="What the checks on receipt decided."),
]
Reason = Annotated[str, Meta(description="Why they decided so, as a sentence.")]
Sender = Annotated[
    str | None,
    Meta(
        description="A user of ours; by default the creator of the room or else the "
        "first user of ours in it, by their IDs."
    ),
]
User = Annotated[str, Meta(description="The user that it is about.")]
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
    """A user that leaves, or is made to."""

    user_id: User
    sender: Annotated[
        str | None,
        Meta(description="By default the user itself; another one kicks the user."),
    ] = None
    reason: Said = None


class RedactionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An event to redact."""

    event_id: EventIdText
    sender: Sender = None
    reason: Said = None


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


class GraphPage(Struct, frozen=True):
    """Which events of a room."""

    after: Annotated[
        int,
        Meta(ge=0, description="The `next` of the last page: how many were before."),
    ] = 0
    limit: Annotated[
        int, Meta(ge=0, le=MAX_LIMIT, description="How many events, at most.")
    ] = MAX_LIMIT


class ListedRoom(Struct, frozen=True):
    """A room of a list."""

    room_id: RoomIdText


class RoomList(Struct, frozen=True):
    """Rooms that the server takes part in, in the order of their IDs."""

    rooms: list[ListedRoom]
    next: Annotated[
        str | None,
        Meta(description="What `after` has to be for more; null at the end."),
    ]


class RoomView(Struct, frozen=True):
    """A room."""

    room_id: RoomIdText
    room_version: str
    events: Annotated[int, Meta(description="How many there are.")]
    servers: Annotated[list[str], Meta(description="Those with a joined user.")]
    extremities: Annotated[
        list[str], Meta(description="The ends, which the next event comes after.")
    ]

    @classmethod
    def of(cls, room: Room) -> "RoomView":
        """That of a room."""
        return cls(
            room.room_id,
            room.room_version.version,
            len(room.entries),
            sorted(each.name for each in room.residents),
            sorted(room.extremities),
        )


class RoomEventView(Struct, frozen=True):
    """An event of a room, and what became of it."""

    event_id: EventIdText
    verdict: Verdict
    reason: Reason
    check: Annotated[
        int, Meta(description="The number of the check on receipt that decided.")
    ]
    rule: Annotated[
        str, Meta(description="The authorization rule that decided; may be empty.")
    ]
    redacted_by: Annotated[
        str | None, Meta(description="The redaction that applies to it.")
    ]
    event: Event

    @classmethod
    def of(cls, sent: Sent) -> "RoomEventView":
        """That of an event."""
        entry = sent.entry
        return cls(
            entry.event_id,
            entry.outcome.value,
            entry.why,
            entry.check,
            entry.rule,
            entry.redacted_by,
            Raw(sent.event.encoded),
        )


class RoomState(Struct, frozen=True):
    """The state of a room, by type and state key."""

    room_id: RoomIdText
    state: list[Event]


class MemberView(Struct, frozen=True):
    """A user that a room's state has a membership of."""

    user_id: str
    membership: str
    event_id: EventIdText


class Members(Struct, frozen=True):
    """The members of a room now, by their IDs."""

    members: list[MemberView]


class GraphEvent(Struct, frozen=True):
    """An event of the graph."""

    event_id: EventIdText
    type: str
    state_key: Annotated[
        str | None, Meta(description="Null for one that is not a state event.")
    ]
    depth: int
    origin_server_ts: Time
    prev_events: list[str]
    verdict: Verdict
    reason: Reason


class Graph(Struct, frozen=True):
    """Events of a room in the order in which they arrived."""

    room_id: RoomIdText
    extremities: list[str]
    events: list[GraphEvent]
    next: Annotated[
        int | None,
        Meta(description="What `after` has to be for more; null at the end."),
    ]
