"""Joining, knocking on and leaving a room that we are in, as other servers ask us.

Rules: the template is what the rules allow now. The event that comes back signed is
compared with the request, checked as every event is, and must be accepted: it is
refused where a received one would be soft-failed. It is stored and queued for the other
servers in one commit before the reply.

Specification: Server-server API, "Joining Rooms", "Knocking upon a room", "Leaving
Rooms (Rejecting Invites)", "Restricted rooms".
"""

from collections.abc import Sequence

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, IncompatibleRoomVersion, InvalidParam
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.restricted_joins import needs_authorisation
from homeserver.protocol.rooms.state import StateKey
from homeserver.protocol.rooms.templates import Required, check_sent
from homeserver.rooms.destinations import destinations
from homeserver.rooms.entry import Entry
from homeserver.rooms.question import Question
from homeserver.rooms.replies import events_json, joined_reply
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn

# Client-server API, "Stripped state".
_SHOWN: Sequence[StateKey] = (
    ("m.room.create", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.join_rules", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
)


async def make_join(resident: Resident, question: Question) -> Json:
    """GET make_join: the join that the user may sign."""
    room = await resident.room(question)
    _check_version(room, question.query.get("ver", ["1"]))
    user = question.user
    content: Json = {"membership": "join"}
    if needs_authorisation(room.current, room.room_version, user):
        via = await resident.authorising_user(room, user)
        content[AUTHORISED_VIA] = via.user_id
    return await _template(resident, room, user, content)


async def make_knock(resident: Resident, question: Question) -> Json:
    """GET make_knock: the knock that the user may sign."""
    room = await resident.room(question)
    _check_version(room, question.all_of("ver"))
    return await _template(resident, room, question.user, {"membership": "knock"})


async def make_leave(resident: Resident, question: Question) -> Json:
    """GET make_leave: the event by which the user declines or leaves."""
    room = await resident.room(question)
    return await _template(resident, room, question.user, {"membership": "leave"})


async def _template(
    resident: Resident, room: Room, user: UserId, content: Json
) -> Json:
    new = NewEvent("m.room.member", user, content, user.user_id)
    pdu = await resident.at_end(room, new, resident.rooms.author.template)
    # Required until v1.3 of the specification, and read by servers of before.
    pdu["origin"] = resident.server_name.name
    return {"event": pdu, "room_version": room.room_version.version}


def _check_version(room: Room, versions: Sequence[str]) -> None:
    version = room.room_version.version
    if version not in versions:
        raise IncompatibleRoomVersion(
            f"the room has version {version}, which is not in `ver`", version
        )


async def send_join(resident: Resident, question: Question) -> bytes:
    """PUT send_join: the join, signed; returns the state before it in JSON."""
    return await _joined(resident, question, is_small=question.flag("omit_members"))


async def send_join_v1(resident: Resident, question: Question) -> bytes:
    """PUT send_join of version 1, which leaves no member out."""
    return await _joined(resident, question, is_small=False)


async def _joined(resident: Resident, question: Question, *, is_small: bool) -> bytes:
    room, event = await _received(resident, question, "join")
    room, entry = await _take(resident, room, event, question)
    own = resident.server_name
    return await joined_reply(room, event, entry, own, is_small=is_small)


async def send_knock(resident: Resident, question: Question) -> bytes:
    """PUT send_knock: the knock, signed; returns what the room shows of itself."""
    room, event = await _received(resident, question, "knock")
    room, _ = await _take(resident, room, event, question)
    return events_json({"knock_room_state": shown_state(room)})


async def send_leave(resident: Resident, question: Question) -> bytes:
    """PUT send_leave: the leave, signed."""
    room, event = await _received(resident, question, "leave")
    await _take(resident, room, event, question)
    return b"{}"


def shown_state(room: Room) -> list[Event]:
    """The events that tell a user who is not in a room what it is."""
    current = room.current
    return [room.as_served(current[key]) for key in _SHOWN if key in current]


async def _received(
    resident: Resident, question: Question, membership: str
) -> tuple[Room, Event]:
    """The room and the signed event of a request, checked but for the room's rules."""
    room = await resident.room(question)
    event = Event.parse(question.content, room.room_version)
    check_sent(
        event, Required(membership, room.room_id, question.event_id, question.origin)
    )
    pdu = question.content
    via = event.content.get(AUTHORISED_VIA)
    if membership == "join" and room.room_version.has_restricted_joins and via:
        pdu = await _countersigned(resident, room, event)
    checked = await resident.checks.one(
        pdu, room.room_version, question.origin, question.cause
    )
    # The other server does not know yet whether the room has a policy server.
    signed = await resident.rooms.recommend(checked, room.current, question.cause)
    return room, signed


async def _countersigned(resident: Resident, room: Room, event: Event) -> Json:
    """A restricted join with our signature; the conditions are checked once more."""
    via = event.content[AUTHORISED_VIA]
    user = UserId.parse(via) if isinstance(via, str) else None
    if user is None or user.server_name != resident.server_name:
        raise InvalidParam(
            f"`{AUTHORISED_VIA}` is not a user of {resident.server_name}"
        )
    if needs_authorisation(room.current, room.room_version, event.sender):
        await resident.authorising_user(room, event.sender)
    return resident.rooms.author.countersigned(event)


async def _take(
    resident: Resident, room: Room, event: Event, question: Question
) -> tuple[Room, Entry]:
    """Take in an event that must be accepted, and send it to the others.

    The room is the one that has the entry: another process may have changed it, and it
    was read anew.
    """
    await resident.rooms.check_space()

    async def take(turn: Turn) -> tuple[Room, Entry]:
        known = turn.room.entries.get(event.event_id)
        if known is not None and known.outcome is Outcome.ACCEPTED:
            return turn.room, known  # sent again, as the reply was lost
        try:
            receipt = await turn.judge(event)
        except UnknownAuthEvent as problem:
            raise Forbidden(f"it cannot be judged: {problem}") from None
        if isinstance(receipt.verdict, NotAllowed):
            raise receipt.verdict
        if receipt.outcome is not Outcome.ACCEPTED:
            raise Forbidden("the state before it is not known: unknown `prev_events`")
        entry = await turn.take(event)
        names = destinations(turn.room, event, entry, resident.server_name)
        turn.send(event, names - {question.origin})
        return turn.room, entry

    return await resident.rooms.change(room.room_id, take)
