"""J: joins that are signed as they should not be, or that are no joins.

Rules: what is refused is refused for one thing alone, as far as there is one: a message
is that of a member, and a join of another server's user is signed by that server.
"""

from collections.abc import Awaitable, Callable, Sequence

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    Need,
    check,
    info,
    must,
    room,
    should,
)
from homeserver.conformance.checks.joins import SEND_JOIN, USUAL
from homeserver.conformance.joining import enter
from homeserver.conformance.membership_requests import (
    Differs,
    MemberEvent,
    make,
    other_signatures,
    put,
    sign,
    user_of,
)
from homeserver.conformance.outcome import NotTestable, Outcome, each_of, reported
from homeserver.conformance.reply import Reply, accepted, refused
from homeserver.conformance.target import Target

_OTHER_VERSION = "11"
"""Of the room that a join is not for."""

_JOINED = f"J20.v{USUAL}"


async def _template(t: Target) -> MemberEvent:
    """A join that the target would take; raises `NotTestable`."""
    ours = t.server()
    reply = await make(t, ours, "join", t.facts.rooms[USUAL])
    if not reply.is_ok:
        raise NotTestable(f"there is no template: {reply}")
    return sign(t, ours, reply)


async def _other_key(t: Target) -> MemberEvent:
    event = await _template(t)
    return event.signed_with(other_signatures(event))


async def _unsigned(t: Target) -> MemberEvent:
    return (await _template(t)).signed_with({})


async def _message(t: Target) -> MemberEvent:
    joined = await enter(t, USUAL)
    return MemberEvent(joined.ours, await joined.message(), joined.version)


async def _leave(t: Target) -> MemberEvent:
    joined = await enter(t, USUAL)
    leave = await joined.build("m.room.member", {"membership": "leave"}, joined.user_id)
    return MemberEvent(joined.ours, leave, joined.version)


async def _other_state_key(t: Target) -> MemberEvent:
    event = await _template(t)
    return event.changed(state_key=f"@other:{event.ours.name}")


async def _other_server(t: Target) -> MemberEvent:
    """The join of another name of ours, which has signed it."""
    event, other = await _template(t), t.server()
    theirs = MemberEvent(other, event.pdu, event.version).changed(
        sender=user_of(other), state_key=user_of(other)
    )
    return MemberEvent(event.ours, theirs.pdu, event.version)


async def _float(t: Target) -> MemberEvent:
    event = await _template(t)
    return event.changed(content={"membership": "join", "org.example.number": 1.5})


def _row(
    check_id: str,
    rule: str,
    make_event: Callable[[Target], Awaitable[MemberEvent]],
    section: str = SEND_JOIN,
    needs: Sequence[Need] = (),
) -> Check:
    """One `send_join` that is refused."""

    async def run(t: Target) -> Outcome:
        event = await make_event(t)
        differs: Differs = {}
        if needs:
            differs["room_id"] = t.facts.rooms[_OTHER_VERSION]
        return refused(await put(t, "join", event, **differs))

    return check(
        check_id,
        must,
        section,
        needs=[TRUSTED_NAME, room(USUAL), *needs],
        after=[_JOINED],
        rule=rule,
    )(run)


REFUSED = [
    _row("J30", "A join that another key has signed is refused.", _other_key),
    _row("J31", "A join without a signature is refused.", _unsigned),
    _row("J32", "A message in place of a join is refused.", _message),
    _row("J33", "A leave in place of a join is refused.", _leave),
    _row("J34", "A join of another user than its sender is refused.", _other_state_key),
    _row("J35", "A join of another server's user is refused.", _other_server),
    _row(
        "J36",
        "A join to another room than that of the path is refused.",
        _template,
        needs=[room(_OTHER_VERSION)],
    ),
    _row(
        "J38",
        "A join with a float is refused, from room version 6 on.",
        _float,
        "Room version 6, Canonical JSON",
    ),
]


async def _twice(t: Target, **second: str) -> tuple[Reply, Reply]:
    """The replies to a join, and to the same one again."""
    joined = await enter(t, USUAL)
    event = MemberEvent(joined.ours, joined.join.pdu, joined.version)
    differs: Differs = {}
    if "event_id" in second:
        differs["event_id"] = second["event_id"]
    return joined.member.reply, await put(t, "join", event, **differs)


@check("J37", info, SEND_JOIN, needs=[TRUSTED_NAME, room(USUAL)], after=[_JOINED])
async def other_id(t: Target) -> Outcome:
    """A join at a path with the ID of another event is taken, or refused."""
    _, reply = await _twice(t, event_id="$another")
    return reported(reply)


@check("J40", should, SEND_JOIN, needs=[TRUSTED_NAME, room(USUAL)], after=[_JOINED])
async def again(t: Target) -> Outcome:
    """A join that comes again, because its reply was lost, is answered again."""
    first, second = await _twice(t)
    return each_of([("first", accepted(first)), ("again", accepted(second))])
