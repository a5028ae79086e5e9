"""Invites that other servers send to users of ours.

Rules: we sign an invite whose form, sender, target and signatures are right. It is
recorded, and nothing is joined. An invite to a room that we are in must be allowed by
its current state as well, and becomes part of it.

Specification: Server-server API, "Inviting to a room".
"""

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    MissingParam,
    quote,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    RoomVersion,
    unknown_room_version,
)
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.templates import Required, check_invite_state, check_sent
from homeserver.rooms.question import Question
from homeserver.rooms.replies import events_json
from homeserver.rooms.resident import Resident
from homeserver.rooms.turn import Turn
from homeserver.storage.pending_memberships import PendingMembership

# What Synapse sends has about ten events; an event has at most 65,536 bytes.
MAX_STATE_EVENTS = 100
MAX_STATE_BYTES = 262_144


async def v2(resident: Resident, question: Question) -> bytes:
    """PUT v2 invite: the event with our signature."""
    content = question.content
    if "event" not in content or "room_version" not in content:
        raise MissingParam("the body needs `room_version` and `event`")
    room_version = _version(content["room_version"])
    pdu = as_object(content["event"], "`event`")
    state = content.get("invite_room_state", [])
    return await _received(resident, question, (pdu, room_version), state)


async def v1(resident: Resident, question: Question) -> bytes:
    """PUT v1 invite, of room versions 1 and 2: the same."""
    pdu = question.content
    unsigned = as_object(pdu.get("unsigned", {}), "`unsigned`")
    state = unsigned.get("invite_room_state", [])
    return await _received(resident, question, (pdu, ROOM_VERSIONS["1"]), state)


async def _received(
    resident: Resident,
    question: Question,
    sent: tuple[Json, RoomVersion],
    state: object,
) -> bytes:
    pdu, room_version = sent
    items, shown = _checked_state(state)
    own = resident.server_name
    room = await resident.rooms.find(question.room_id)
    if room is not None:
        resident.check_acl(room, question.origin)
        room_version = room.room_version
    event = Event.parse(pdu, room_version)
    check_sent(
        event,
        Required("invite", question.room_id, question.event_id, question.origin, own),
    )
    check_invite_state(items, question.room_id, room_version)
    checked = await resident.checks.one(
        pdu, room_version, question.origin, question.cause
    )
    signed = Event.parse(resident.rooms.author.countersigned(checked), room_version)
    if room is not None and room.has_member(own):
        await _enter(resident, signed)
    else:
        await resident.pending.record(
            PendingMembership(
                question.room_id,
                UserId.parse(signed.state_key or ""),
                question.origin,
                room_version.version,
                signed.encoded,
                shown,
            )
        )
    return events_json({"event": signed})


async def _enter(resident: Resident, event: Event) -> None:
    """Take in an invite to a room that we are in; raises `Forbidden`."""
    await resident.rooms.check_space()

    async def take(turn: Turn) -> None:
        try:
            receipt = await turn.judge(event)
        except UnknownAuthEvent as problem:
            raise Forbidden(f"it cannot be judged: {problem}") from None
        if isinstance(receipt.verdict, NotAllowed):
            raise receipt.verdict
        if receipt.outcome is Outcome.ACCEPTED:
            await turn.take(event)

    await resident.rooms.change(event.room_id, take)


def _version(value: object) -> RoomVersion:
    if not isinstance(value, str):
        raise InvalidParam(f"`room_version` is {quote(value)}, not a string")
    found = ROOM_VERSIONS.get(value)
    if found is None:
        raise IncompatibleRoomVersion(unknown_room_version(value), value)
    return found


def _checked_state(state: object) -> tuple[list[Json], bytes]:
    """The events that come with an invite, and their JSON.

    Raises `BadJson` and `InvalidParam`.
    """
    items = [
        as_object(each, "an entry of `invite_room_state`")
        for each in as_list(state, "`invite_room_state`")
    ]
    encoded = encode(items)
    if len(items) > MAX_STATE_EVENTS or len(encoded) > MAX_STATE_BYTES:
        raise InvalidParam(
            f"`invite_room_state` has {len(items)} events of {len(encoded)} bytes; "
            f"{MAX_STATE_EVENTS} and {MAX_STATE_BYTES} are allowed"
        )
    return items, encoded
