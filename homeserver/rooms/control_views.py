"""The answers of the control API about rooms, as structs.

Rules: as in `control.views`.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from homeserver.control.views import Event, Time
from homeserver.rooms.backfill import Backfilled
from homeserver.rooms.entry import Entry, Sent
from homeserver.rooms.joining import Joined
from homeserver.rooms.outsiders import Taken
from homeserver.rooms.room import Room

_MAX_LEFT_OUT = 100  # that are shown

RoomIdText = Annotated[str, Meta(description="The ID of a room.")]
EventIdText = Annotated[str, Meta(description="The ID of an event.")]
Verdict = Annotated[
    Literal["accepted", "soft-failed", "rejected", "outlier"],
    Meta(description="What the checks on receipt decided."),
]
Reason = Annotated[str, Meta(description="Why they decided so, as a sentence.")]


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
    through: Annotated[
        str | None,
        Meta(
            description="The server that took it in, of a room that no user of ours is "
            "in; null for others."
        ),
    ]
    event: Event

    @classmethod
    def of(cls, sent: Sent | Taken) -> "RoomEventView":
        """That of an event."""
        text = Raw(sent.event.encoded)
        if isinstance(sent, Taken):
            name, event_id = sent.server_name.name, sent.event.event_id
            why = f"{name} has accepted it"
            return cls(event_id, "accepted", why, 0, "", None, name, text)
        entry = sent.entry
        return cls(
            entry.event_id,
            entry.outcome.value,
            entry.why,
            entry.check,
            entry.rule,
            entry.redacted_by,
            None,
            text,
        )


class LeftOutView(Struct, frozen=True):
    """An event of the room's state that is not part of the room here."""

    event_id: Annotated[
        str | None, Meta(description="Null if its form allows no event ID.")
    ]
    reason: Reason


class FailureView(Struct, frozen=True):
    """A server that was asked and did not help."""

    server_name: str
    reason: Annotated[str, Meta(description="What it answered, or why it did not.")]


class JoinedView(Struct, frozen=True):
    """A room with a user who has joined it."""

    room_id: RoomIdText
    room_version: str
    event_id: EventIdText
    through: Annotated[
        str | None,
        Meta(description="The server that it was joined through; null for none."),
    ]
    servers: Annotated[list[str], Meta(description="Those with a joined user.")]
    failures: list[FailureView]
    left_out: list[LeftOutView]

    @classmethod
    def of(cls, joined: Joined) -> "JoinedView":
        """That of a join."""
        room, through = joined.room, joined.server_name
        return cls(
            room.room_id,
            room.room_version.version,
            joined.event_id,
            None if through is None else through.name,
            sorted(each.name for each in room.residents),
            [FailureView(x.server_name.name, x.why) for x in joined.failures],
            [LeftOutView(x.event_id, x.why) for x in joined.left_out[:_MAX_LEFT_OUT]],
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

    @classmethod
    def of(cls, room: Room, entry: Entry) -> "GraphEvent":
        """That of an event of a room."""
        event = room.events.get(entry.event_id)
        return cls(
            entry.event_id,
            entry.type,
            None if event is None else event.state_key,
            entry.depth,
            entry.origin_server_ts,
            [*entry.prev],
            entry.outcome.value,
            entry.why,
        )


class BackfilledView(Struct, frozen=True):
    """History of a room that was fetched."""

    room_id: RoomIdText
    through: Annotated[
        str | None,
        Meta(description="The first server that had some; null if none was missing."),
    ]
    events: Annotated[list[GraphEvent], Meta(description="The oldest first.")]
    is_complete: Annotated[
        bool, Meta(description="Whether nothing is missing back to the first event.")
    ]
    failures: list[FailureView]

    @classmethod
    def of(cls, done: Backfilled) -> "BackfilledView":
        """That of a backfill."""
        through = done.server_name
        return cls(
            done.room.room_id,
            None if through is None else through.name,
            [GraphEvent.of(done.room, each) for each in done.entries],
            done.is_complete,
            [FailureView(x.server_name.name, x.why) for x in done.failures],
        )


class Graph(Struct, frozen=True):
    """Events of a room in the order in which they arrived."""

    room_id: RoomIdText
    extremities: list[str]
    events: list[GraphEvent]
    next: Annotated[
        int | None,
        Meta(description="What `after` has to be for more; null at the end."),
    ]
    drawing: Annotated[
        str | UnsetType, Meta(description="The events, drawn as `format` says.")
    ] = UNSET


class RoomEvents(Struct, frozen=True):
    """Events of a room in the order in which they arrived."""

    room_id: RoomIdText
    events: list[RoomEventView]
    next: Annotated[int, Meta(description="What `after` has to be for later ones.")]
