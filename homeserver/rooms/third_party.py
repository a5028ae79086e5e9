"""Invites by third-party identifiers, as the server of the invited user asks us.

Rules: the sender is a user of ours, the invited one a user of the server that asks: so
no server makes us ask another one. The invite is what the rules of the room allow, and
is part of it once that server has signed it.

Specification: Server-server API, "Third-party invites".
"""

from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, as_object, as_text
from homeserver.protocol.errors import MISSING, Forbidden, InvalidParam, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.memberships import shown_state
from homeserver.rooms.question import Question
from homeserver.rooms.remote_server import RemoteServer
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room


async def exchange(resident: Resident, question: Question) -> bytes:
    """PUT exchange_third_party_invite: the invite that takes the place of a token."""
    await resident.rooms.check_space()
    room = await resident.room(question)
    wanted = _wanted(resident, room, question)
    event = await resident.at_end(room, wanted, resident.rooms.author.make)
    event = await resident.rooms.recommend(event, room.current, question.cause)
    signed = await _countersigned(resident, room, event, question)
    await resident.rooms.change(
        room.room_id, lambda turn: resident.rooms.enter(turn, signed)
    )
    return b"{}"


def _wanted(resident: Resident, room: Room, question: Question) -> NewEvent:
    body = question.content
    content = as_object(body.get("content", MISSING), "`content`")
    sender = UserId.parse(as_text(body.get("sender", MISSING), "`sender`"))
    target = UserId.parse(as_text(body.get("state_key", MISSING), "`state_key`"))
    expected = [
        ("`type`", body.get("type", MISSING), "m.room.member"),
        ("`room_id`", body.get("room_id", MISSING), room.room_id),
        ("`membership`", content.get("membership", MISSING), "invite"),
        ("the sender's server", sender.server_name.name, resident.server_name.name),
        ("the invited server", target.server_name.name, question.origin.name),
    ]
    for what, found, asked in expected:
        if found != asked:
            raise InvalidParam(f"{what} is {quote(found)}, not {asked}")
    invite = as_object(
        content.get("third_party_invite", MISSING), "`third_party_invite`"
    )
    wanted: Json = {"membership": "invite", "third_party_invite": invite}
    return NewEvent("m.room.member", sender, wanted, target.user_id)


async def _countersigned(
    resident: Resident, room: Room, event: Event, question: Question
) -> Event:
    """The invite with the signature of the invited user's server."""
    origin = question.origin
    server = RemoteServer(resident.calls, origin, question.cause)
    try:
        signed = await server.invite(event, shown_state(room))
    except (Refused, Unreachable):
        raise Forbidden(f"{origin} did not take the invite of its user") from None
    return await resident.checks.countersigned(signed, origin, question.cause)
