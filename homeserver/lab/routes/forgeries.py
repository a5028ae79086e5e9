"""The routes of events that are wrong on purpose.

Rules: as those of `control.routes`. In a room of ours the rules of the room are not
asked, nor is its policy server. The event goes through the queue to the servers of the
room; our own server takes it in only if the request says so, and then judges it as
others do. Any other event is signed and given back, for a request of the test.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from homeserver.app.server import Server
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import MAX_SPOILS, Nothing, Object
from homeserver.lab.spoil.changes import OTHER_KEY
from homeserver.lab.spoil.event_changes import Workpiece
from homeserver.lab.spoil.events import EVENT_SPOILS, spoil_event
from homeserver.lab.spoil.transmission import Means
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, NotFound, TooLarge
from homeserver.protocol.events.event import Event, event_id
from homeserver.protocol.events.room_versions import parse_room_version
from homeserver.protocol.identifiers import EventId, ServerName, UserId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.author import Given
from homeserver.rooms.control_bodies import NewEventBody
from homeserver.rooms.control_changes import room_in_path
from homeserver.rooms.entry import Entry
from homeserver.rooms.room import Room

_FORGE = "/v1/servers/{server}/rooms/{room_id}/forge"
_SIGN = "/v1/servers/{server}/sign"

Spoils = Annotated[
    list[str],
    Meta(
        max_length=MAX_SPOILS,
        description="Mistakes that it has on purpose: "
        + "; ".join(
            f"`{each.usage(name)}`: {each.summary}"
            for name, each in EVENT_SPOILS.items()
        ),
    ),
]


class ForgedEventBody(NewEventBody, frozen=True, forbid_unknown_fields=True):
    """An event to make, whatever the rules of the room say, and to send."""

    members: Annotated[
        Object,
        Meta(
            description="In place of the members of the event, before it is hashed and "
            "signed: also `event_id`, `room_id` or `sender`."
        ),
    ] = field(default_factory=dict)
    spoil: Spoils = field(default_factory=list)
    destinations: Annotated[
        list[str] | None,
        Meta(description="The servers that get it; by default those of the room."),
    ] = None
    enter: Annotated[
        bool,
        Meta(
            description="Whether our own server takes it in as well, so that others "
            "can ask for it. Its form has to be right."
        ),
    ] = False


class UnsignedEventBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An event of any room, such as one that a server has proposed for a join."""

    event: Annotated[
        Object,
        Meta(description="The lab computes its `hashes` and `signatures` again."),
    ]
    room_version: str
    spoil: Spoils = field(default_factory=list)


class SignedView(Struct, frozen=True):
    """An event with hashes and the signatures of the server."""

    event_id: Annotated[
        str | None, Meta(description="Null where its form allows none.")
    ]
    event: Object
    expected: Annotated[
        list[str], Meta(description="What a right server does about each mistake.")
    ]


class SentTo(Struct, frozen=True):
    """An entry of the queue."""

    destination: str
    id: Annotated[int, Meta(description="As in `/v1/send/{destination}/{id}`.")]


class ForgedView(Struct, frozen=True):
    """An event that was made, and what is right about it."""

    event_id: Annotated[
        str | None, Meta(description="Null where its form allows none.")
    ]
    event: Object
    sent: list[SentTo]
    verdict: Annotated[
        str | None,
        Meta(description="That of our own server, if it took it in; else null."),
    ]
    reason: Annotated[
        str | None, Meta(description="Why our own server decided so, if it did.")
    ]
    expected: Annotated[
        list[str], Meta(description="What a right server does about each mistake.")
    ]


def forgery_routes(
    server_of: Callable[[ServerName], Server], means: Callable[[ServerName], Means]
) -> list[ControlRoute]:
    """`server_of` and `means` raise `NotFound` for a name that is none of ours."""

    async def forge(call: Call[Nothing, ForgedEventBody]) -> ForgedView:
        """Make an event that is wrong on purpose, and send it."""
        name = call.server("server")
        server, body = server_of(name), call.body
        room = await room_in_path(server.rooms, call.parameters)
        piece = await _drafted(server, room, body, means(name))
        expected = _spoiled(piece, body.spoil)
        entry = await _entered(server, room, piece.pdu) if body.enter else None
        names = room.residents - {name}
        if body.destinations is not None:
            names = frozenset(map(ServerName.parse, body.destinations))
        sent = [
            SentTo(each.name, await server.outgoing.enqueue(each, [piece.pdu], []))
            for each in sorted(names, key=str)
        ]
        return ForgedView(
            _id_of(piece),
            piece.pdu,
            sent,
            None if entry is None else entry.outcome.value,
            None if entry is None else entry.why,
            expected,
        )

    def sign(call: Call[Nothing, UnsignedEventBody]) -> SignedView:
        """Hash and sign an event of any room, for a request that sends it."""
        body, ours = call.body, means(call.server("server"))
        version = parse_room_version(body.room_version)
        other = ours.spare_key(OTHER_KEY)
        bare = {
            k: v
            for k, v in body.event.items()
            if k not in {"hashes", "signatures", "unsigned"}
        }
        piece = Workpiece(bare, version, {}, ours.identity, other)
        expected = _spoiled(piece, body.spoil)
        return SignedView(_id_of(piece), piece.pdu, expected)

    return [
        route("POST", _FORGE, forge, errors=(NotFound, TooLarge)),
        route("POST", _SIGN, sign, errors=(NotFound,)),
    ]


def _spoiled(piece: Workpiece, spoils: Sequence[str]) -> list[str]:
    """What is right about an event, once it is signed; raises `InvalidParam`."""
    try:
        return spoil_event(piece, spoils)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InvalidParam("the event has no form in which it can be signed") from None


async def _drafted(
    server: Server, room: Room, body: ForgedEventBody, means: Means
) -> Workpiece:
    """The event as it is before it is made wrong."""
    sender = UserId.parse(body.sender or f"@creator:{server.name}")
    redacts = None if body.redacts is None else EventId(body.redacts)
    given = Given(
        prev_events=_event_ids(body.prev_events),
        auth_events=_event_ids(body.auth_events),
        depth=body.depth,
        origin_server_ts=body.origin_server_ts,
        is_checked=False,
    )
    new = NewEvent(body.type, sender, body.content, body.state_key, redacts)
    pdu = await server.rooms.author.draft(room, new, given)
    return Workpiece(
        {**pdu, **body.members},
        room.room_version,
        room.current,
        means.identity,
        means.spare_key(OTHER_KEY),
    )


async def _entered(server: Server, room: Room, pdu: Json) -> Entry:
    """What our own server makes of it; raises `ProtocolError` for a wrong form."""
    event = Event.parse(pdu, room.room_version)
    if event.room_id != room.room_id:
        raise InvalidParam("`enter`: the event is of another room")
    try:
        async with server.rooms.turn(room.room_id) as turn:
            return await turn.take(event)
    except UnknownAuthEvent as problem:
        raise InvalidParam(f"`enter`: {problem}") from None


def _id_of(piece: Workpiece) -> str | None:
    try:
        return event_id(piece.pdu, piece.room_version)
    except (KeyError, TypeError, ValueError):
        return None


def _event_ids(given: list[str] | None) -> list[EventId] | None:
    return None if given is None else [*map(EventId, given)]
