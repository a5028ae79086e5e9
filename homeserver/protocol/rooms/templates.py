"""Membership events across servers: templates, signed events, countersignatures.

Rules: a template of another server is compared with the request. We sign an event that
is built from the template's known members, and no other member of it. An event that
comes back signed is compared with the event that was sent.

Specification: Server-server API, "Joining Rooms", "Knocking upon a room", "Leaving
Rooms (Rejecting Invites)", "Inviting to a room".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.errors import (
    MISSING,
    BadJson,
    InvalidParam,
    ProtocolError,
    quote,
)
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import unsigned_event
from homeserver.protocol.rooms.rules import named
from homeserver.protocol.rooms.state import membership_of
from homeserver.protocol.rooms.versions import rules_of

# Where the event is to be in the room, as the template has it.
_PLACE = ("depth", "prev_events", "auth_events")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The membership that a user of ours asks another server for."""

    membership: str
    """`join`, `knock` or `leave`."""

    room_id: RoomId
    user: UserId


@dataclass(frozen=True, slots=True)
class Template:
    """A membership event that another server proposed, and that is as asked for."""

    room_version: RoomVersion
    pdu: Json
    """Without time, hashes and signatures."""

    def complete(
        self,
        profile: Mapping[str, str],
        origin_server_ts: int,
        event_id: EventId | None = None,
    ) -> Json:
        """The event that is to be signed.

        `profile` has the user's own members of the content: `displayname`,
        `avatar_url`, `reason`. `event_id` is for room versions 1 and 2.
        """
        content = {**profile, **as_object(self.pdu["content"], "`content`")}
        pdu = {**self.pdu, "content": content, "origin_server_ts": origin_server_ts}
        return pdu if event_id is None else {**pdu, "event_id": event_id}


def read_template(reply: Json, wanted: Wanted) -> Template:
    """Read the reply to `make_join`, `make_knock` or `make_leave`.

    Raises `BadJson` for a template of another event or of a wrong form, `InvalidParam`
    for an unknown room version. The caller then tries the next server.
    """
    # Absent means room version 1 or 2, whose events have the same form: servers of that
    # time did not send it.
    room_version = parse_room_version(reply.get("room_version", "1"))
    event = as_object(reply.get("event", MISSING), "`event`")
    content = as_object(event.get("content", MISSING), "`content`")
    user = wanted.user.user_id
    expected = [
        ("`type`", event.get("type", MISSING), "m.room.member"),
        ("`room_id`", event.get("room_id", MISSING), wanted.room_id),
        ("`sender`", event.get("sender", MISSING), user),
        ("`state_key`", event.get("state_key", MISSING), user),
        ("`membership`", content.get("membership", MISSING), wanted.membership),
    ]
    for what, found, asked in expected:
        if found != asked:
            raise BadJson(f"{what} of the template is {quote(found)}, not {asked}")
    kept = {"membership": wanted.membership}
    if wanted.membership == "join" and rules_of(room_version).has_signed_joins:
        kept |= _authorised_by(content)
    pdu: Json = {
        "type": "m.room.member",
        "room_id": wanted.room_id,
        "sender": user,
        "state_key": user,
        "content": kept,
        **{name: event[name] for name in _PLACE if name in event},
    }
    unsigned_event({**pdu, "origin_server_ts": 0}, room_version)
    return Template(room_version, pdu)


def _authorised_by(content: Json) -> dict[str, str]:
    if AUTHORISED_VIA not in content:
        return {}
    via = content[AUTHORISED_VIA]
    if not isinstance(via, str):
        raise BadJson(f"`{AUTHORISED_VIA}` of the template is not a string")
    UserId.parse(via)
    return {AUTHORISED_VIA: via}


@dataclass(frozen=True, slots=True)
class Required:
    """The properties that a route requires of a signed membership event."""

    membership: str
    room_id: RoomId
    event_id: EventId
    """The one in the path."""

    origin: ServerName
    """The server that made the request."""

    target: ServerName | None = None
    """Of an invite: the server of the invited user, which is ours."""


def check_sent(event: Event, required: Required) -> None:
    """Check the event of `send_join`, `send_knock`, `send_leave` and `invite`.

    Raises `InvalidParam`. Signatures and rules are checked apart.
    """
    expected = [
        ("`type`", event.type, "m.room.member"),
        ("`membership`", membership_of(event), required.membership),
        ("`room_id`", event.room_id, required.room_id),
        ("the event's ID", event.event_id, required.event_id),
        ("the sender's server", event.sender.server_name.name, required.origin.name),
    ]
    for what, found, asked in expected:
        if found != asked:
            raise InvalidParam(f"{what} is {quote(found)}, not {asked}")
    if event.state_key is None:
        raise InvalidParam("a member event has a state key")
    if required.target is None:
        if event.state_key != event.sender.user_id:
            raise InvalidParam("the state key is another user than the sender")
    elif UserId.parse(event.state_key).server_name != required.target:
        raise InvalidParam(
            f"{quote(event.state_key)} is not a user of {required.target}"
        )


def check_invite_state(
    state: Sequence[Json], room_id: RoomId, room_version: RoomVersion
) -> None:
    """Check the `invite_room_state` of an invite; raises `InvalidParam`.

    From version 12 on it has whole events of the room, the create event among them;
    the room ID proves that one, and signatures are not verified here. To rooms of older
    versions some servers send stripped events, so nothing is demanded.
    """
    if not room_version.has_hash_room_id:
        return
    has_create = False
    for pdu in state:
        try:
            event = Event.parse(pdu, room_version)
        except ProtocolError as problem:
            raise InvalidParam(f"an event of `invite_room_state`: {problem}") from None
        if event.room_id != room_id:
            raise InvalidParam(
                f"`invite_room_state` has an event of {quote(event.room_id)}, and the "
                f"invite is to {room_id}"
            )
        has_create = has_create or event.created_room_id is not None
    if not has_create:
        raise InvalidParam("`invite_room_state` lacks the create event of the room")


def add_countersignature(ours: Event, reply: Event, server_name: ServerName) -> Event:
    """Add the signatures of another server, from its reply, to our event.

    An invited user's server signs an invite; a server of a restricted room signs a
    join. Nothing else of the reply is used. Raises `BadJson` if the reply is another
    event or has no signature of that server. The caller verifies the signatures.
    """
    if reply.signed != ours.signed:
        raise BadJson(
            f"{server_name} answered with another event: {named(reply.event_id)}"
        )
    theirs = as_object(reply.pdu["signatures"], "`signatures`").get(server_name.name)
    added = as_object(theirs, f"`signatures` of {server_name}")
    if not added:
        raise BadJson(f"{server_name} did not sign the event {named(ours.event_id)}")
    own = as_object(ours.pdu["signatures"], "`signatures`")
    old = as_object(own.get(server_name.name, {}), "`signatures` of one server")
    merged = {**own, server_name.name: {**added, **old}}
    return Event.parse({**ours.pdu, "signatures": merged}, ours.room_version)
