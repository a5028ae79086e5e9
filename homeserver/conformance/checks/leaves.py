"""L and Y: leaving rooms of the target, and knocking at them.

Rules: a knock needs a room whose join rule is `knock`; a leave, a member or a guest.
"""

from homeserver.conformance.check import (
    INVITE_ROOM,
    KNOCK_ROOM,
    TRUSTED_NAME,
    check,
    must,
    room,
)
from homeserver.conformance.checks.joins import USUAL
from homeserver.conformance.documents import as_json
from homeserver.conformance.joining import enter
from homeserver.conformance.membership_requests import (
    MemberEvent,
    events_in,
    make,
    put,
    sign,
    user_of,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable, Outcome, expect
from homeserver.conformance.reply import answered, present, refused
from homeserver.conformance.target import Target

_MAKE = "Server-server API, GET /_matrix/federation/v1/make_leave/{roomId}/{userId}"
_SEND = "Server-server API, PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}"
_LEAVING = "Server-server API, Leaving Rooms (Rejecting Invites)"
_MAKE_KNOCK = (
    "Server-server API, GET /_matrix/federation/v1/make_knock/{roomId}/{userId}"
)
_SEND_KNOCK = (
    "Server-server API, PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}"
)


async def _leaves(t: Target, ours: Ours, room_id: str) -> Outcome:
    """Whether a user of ours may leave a room."""
    template = await make(t, ours, "leave", room_id)
    if not template.is_ok:
        return expect(template.is_ok, template, wanted="a template")
    reply = await put(t, "leave", sign(t, ours, template))
    return expect(
        reply.is_ok and reply.content == {},
        reply,
        f"body {reply.content!r}" if reply.is_ok else "",
        wanted="status 200, {}",
    )


@check("L01", must, _SEND, needs=[TRUSTED_NAME, room(USUAL)], after=[f"J20.v{USUAL}"])
async def leave(t: Target) -> Outcome:
    """A member gets a template, and leaves by it."""
    joined = await enter(t, USUAL)
    async with joined.turn():
        return await _leaves(t, joined.ours, joined.room_id)


@check("L02", must, _MAKE, needs=[TRUSTED_NAME, room(USUAL)])
async def no_member(t: Target) -> Outcome:
    """A user who is not in the room gets no template: 403 M_FORBIDDEN."""
    reply = await make(t, t.server(), "leave", t.facts.rooms[USUAL])
    return answered(reply, 403, "M_FORBIDDEN")


@check("L03", must, _SEND, needs=[TRUSTED_NAME, room(USUAL)], after=[f"J20.v{USUAL}"])
async def join_again(t: Target) -> Outcome:
    """A join in place of a leave is refused."""
    joined = await enter(t, USUAL)
    again = await joined.build("m.room.member", {"membership": "join"}, joined.user_id)
    return refused(
        await put(t, "leave", MemberEvent(joined.ours, again, joined.version))
    )


@check("L04", must, _MAKE, needs=[TRUSTED_NAME, room(USUAL)], after=[f"J20.v{USUAL}"])
async def foreign_user(t: Target) -> Outcome:
    """A server gets no template for the leave of another server's member: 403."""
    joined = await enter(t, USUAL)
    user = user_of(joined.ours)
    reply = await make(t, t.server(), "leave", joined.room_id, user_id=user)
    return answered(reply, 403, "M_FORBIDDEN")


@check("L05", must, _LEAVING, needs=[TRUSTED_NAME, INVITE_ROOM])
async def declined(t: Target) -> Outcome:
    """An invited user declines by a leave."""
    _, guest = t.facts.guests["invite"]
    return await _leaves(t, guest, t.facts.rooms["invite"])


@check("Y01", must, _SEND_KNOCK, needs=[TRUSTED_NAME, KNOCK_ROOM])
async def knock(t: Target) -> Outcome:
    """A user knocks, and is shown the state of the room with its create event."""
    ours, room_id = t.server(), t.facts.rooms["knock"]
    template = await make(t, ours, "knock", room_id)
    if not template.is_ok:
        return expect(template.is_ok, template, wanted="a template")
    reply = await put(t, "knock", sign(t, ours, template))
    shown = [as_json(each).get("type") for each in events_in(reply, "knock_room_state")]
    return expect(
        reply.is_ok and "m.room.create" in shown,
        reply,
        f"knock_room_state has {shown}",
        wanted="knock_room_state with m.room.create",
    )


@check("Y02", must, _MAKE_KNOCK, needs=[TRUSTED_NAME, room(USUAL)])
async def open_room(t: Target) -> Outcome:
    """A knock at a public room is refused: 403 M_FORBIDDEN."""
    reply = await make(t, t.server(), "knock", t.facts.rooms[USUAL])
    return answered(reply, 403, "M_FORBIDDEN")


@check("Y03", must, _MAKE_KNOCK, needs=[TRUSTED_NAME, KNOCK_ROOM])
async def other_version(t: Target) -> Outcome:
    """A knock is refused where `ver` lacks the version of the room."""
    room_id = t.facts.rooms["knock"]
    reply = await make(t, t.server(), "knock", room_id, query="ver=1")
    return answered(reply, 400, "M_INCOMPATIBLE_ROOM_VERSION")


@check("Y04", must, _MAKE_KNOCK, needs=[TRUSTED_NAME])
async def unknown_room(t: Target) -> Outcome:
    """A knock at a room that there is not is answered by 404 M_NOT_FOUND."""
    room_id = f"!{t.fresh('none')}:{t.name}"
    reply = present(await make(t, t.server(), "knock", room_id))
    return answered(reply, 404, "M_NOT_FOUND")


@check("Y05", must, _SEND_KNOCK, needs=[TRUSTED_NAME, KNOCK_ROOM], after=["Y01"])
async def join_by_knock(t: Target) -> Outcome:
    """A join in place of a knock is refused."""
    ours = t.server()
    template = await make(t, ours, "knock", t.facts.rooms["knock"])
    if not template.is_ok:
        raise NotTestable(f"there is no template: {template}")
    event = sign(t, ours, template, content={"membership": "join"})
    return refused(await put(t, "knock", event))
