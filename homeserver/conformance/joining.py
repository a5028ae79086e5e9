"""Joining a room of the target with a server of ours.

Rules: those of one room come one after the other.

Specification: Server-server API, "Joining Rooms".
"""

from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.members import Member
from homeserver.conformance.membership_requests import (
    Differs,
    MemberEvent,
    events_in,
    make,
    put,
    sign,
    version_of,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId
from homeserver.protocol.rooms.state import state_of


async def enter(t: Target, version: str) -> JoinedRoom:
    """Join the public room of a version with a fresh server of ours.

    Raises as `join_room`.
    """
    return await join_room(t, t.facts.rooms[version])


async def join_room(
    t: Target, room_id: str, ours: Ours | None = None, differs: Differs | None = None
) -> JoinedRoom:
    """Join a room of the target with a server of ours, a fresh one by default.

    `differs` is what of `send_join` is not as usual. Raises `NoAnswer`, and
    `NotTestable` where the target does not let it in.
    """
    ours = ours or t.server()
    async with t.ground.members.lock(room_id):
        member = await _join(t, ours, room_id, differs or {})
    return JoinedRoom(t, member)


async def _join(t: Target, ours: Ours, room_id: str, differs: Differs) -> Member:
    reply = await make(t, ours, "join", room_id)
    if reply.is_ok:
        if version_of(reply) is None:
            raise NotTestable(f"the room has an unknown version: {reply.json}")
        event = sign(t, ours, reply)
        where: Differs = {"room_id": room_id, **differs}
        reply = await put(t, "join", event, **where)
        if reply.is_ok:
            return member_of(event, room_id, reply)
    raise NotTestable(f"the target lets none of ours join the room: {reply}")


def member_of(event: MemberEvent, room_id: str, reply: Reply) -> Member:
    """The member that a join made; raises `NotTestable` for a reply of no state."""
    try:
        join = Event.parse(event.pdu, event.version)
        state = [Event.parse(each, event.version) for each in _objects(reply)]
    except ProtocolError as problem:
        why = f"the reply to send_join has no sound state: {problem}"
        raise NotTestable(why) from None
    current = state_of([*state, join])
    return Member(event.ours, RoomId(room_id), join, current, reply)


def _objects(reply: Reply) -> list[Json]:
    return [each for each in events_in(reply, "state") if isinstance(each, dict)]
