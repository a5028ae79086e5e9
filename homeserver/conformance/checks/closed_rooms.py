"""J: joins to rooms that are not for everybody: by invite, condition, ban or ACL.

Rules: the room refuses for one thing alone. A join that no template was given for is
made by hand, from that of a user whom the room lets in.
"""

from collections.abc import Awaitable, Callable

from homeserver.conformance.check import (
    ACL_ROOM,
    BAN_ROOM,
    INVITE_ROOM,
    RESTRICTED_ROOM,
    TRUSTED_NAME,
    UNGRANTED_ROOM,
    UNJUDGED_ROOM,
    Check,
    Need,
    check,
    must,
    room,
)
from homeserver.conformance.checks.joins import MAKE_JOIN, USUAL
from homeserver.conformance.documents import as_json
from homeserver.conformance.joining import enter, join_room
from homeserver.conformance.membership_requests import (
    MemberEvent,
    make,
    put,
    sign,
    user_of,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, expect, unmet
from homeserver.conformance.provision import SPECIAL_VERSION, kind_of
from homeserver.conformance.reply import answered, refused
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import (
    is_signed_by,
    keys_of_target,
    parsed,
    templates_event,
)
from homeserver.protocol.canonical_json import Json, as_list
from homeserver.protocol.events.room_versions import ROOM_VERSIONS

_RESTRICTED = "Server-server API, Restricted rooms"
_ACLS = "Server-server API, Server Access Control Lists (ACLs)"
_CHECKS = "Server-server API, Checks performed on receipt of a PDU"
_VIA = "join_authorised_via_users_server"


async def _stranger(t: Target) -> Ours:
    return t.server()


async def _member(t: Target) -> Ours:
    """A server of ours in the public room, whose members the others let in."""
    return (await enter(t, USUAL)).ours


def _guest(need: Need, number: int) -> Callable[[Target], Awaitable[Ours]]:
    async def guest(t: Target) -> Ours:
        return t.facts.guests[kind_of(need)][number]

    return guest


def _row(
    check_id: str,
    section: str,
    need: Need,
    who: Callable[[Target], Awaitable[Ours]],
    rule: str,
    wanted: tuple[int, str] = (403, "M_FORBIDDEN"),
) -> Check:
    """One template that is refused."""

    async def run(t: Target) -> Outcome:
        ours, room_id = await who(t), t.facts.rooms[kind_of(need)]
        return answered(await make(t, ours, "join", room_id), *wanted)

    needs = [TRUSTED_NAME, need]
    after = ["J01"]
    if who is _member:
        needs, after = [*needs, room(USUAL)], [f"J20.v{USUAL}"]
    return check(check_id, must, section, needs=needs, after=after, rule=rule)(run)


TEMPLATES = [
    _row(
        "J06",
        MAKE_JOIN,
        INVITE_ROOM,
        _stranger,
        "A room of the invited gives no template to others.",
    ),
    _row(
        "J07",
        MAKE_JOIN,
        BAN_ROOM,
        _guest(BAN_ROOM, 0),
        "A room gives no template to a banned user.",
    ),
    _row(
        "J08",
        _ACLS,
        ACL_ROOM,
        _guest(ACL_ROOM, 0),
        "A room gives no template to a server that its ACL denies.",
    ),
    _row(
        "J08b",
        _ACLS,
        ACL_ROOM,
        _guest(ACL_ROOM, 1),
        "An ACL denies a name whatever its port and its case.",
    ),
    _row(
        "J11",
        _RESTRICTED,
        RESTRICTED_ROOM,
        _stranger,
        "A room with a condition gives no template where it is not met.",
    ),
    _row(
        "J12",
        _RESTRICTED,
        UNJUDGED_ROOM,
        _stranger,
        "A join that the server cannot judge is refused with an error of its own.",
        (400, "M_UNABLE_TO_AUTHORISE_JOIN"),
    ),
    _row(
        "J13",
        _RESTRICTED,
        UNGRANTED_ROOM,
        _member,
        "A join that nobody there may authorise is refused with an error of its own.",
        (400, "M_UNABLE_TO_GRANT_JOIN"),
    ),
]


@check(
    "J10",
    must,
    _RESTRICTED,
    needs=[TRUSTED_NAME, RESTRICTED_ROOM, room(USUAL)],
    after=[f"J20.v{USUAL}"],
)
async def condition_met(t: Target) -> Outcome:
    """A join whose condition is met is authorised by a user, whose server signs it."""
    ours, room_id = await _member(t), t.facts.rooms[kind_of(RESTRICTED_ROOM)]
    template = await make(t, ours, "join", room_id)
    via = as_json(templates_event(template.json).get("content")).get(_VIA)
    is_theirs = isinstance(via, str) and via.endswith(f":{t.name}")
    if not template.is_ok or not is_theirs:
        wanted = f"{_VIA}, a user of the target"
        return unmet(template, f"{_VIA} {via!r}", wanted=wanted)
    joined = await join_room(t, room_id, ours)
    back = parsed(joined.member.reply.json.get("event"), joined.version)
    keys = await keys_of_target(t)
    return expect(
        back is not None
        and back.event_id == joined.join.event_id
        and is_signed_by(back, t.name, keys),
        joined.member.reply,
        f"event {'absent' if back is None else back.event_id}",
        wanted="the event, with a right signature of the target",
    )


@check("J39", must, _CHECKS, needs=[TRUSTED_NAME, INVITE_ROOM], after=["J06"])
async def not_invited(t: Target) -> Outcome:
    """A room of the invited refuses a join that was made without a template."""
    [guest, _], room_id = t.facts.guests["invite"], t.facts.rooms["invite"]
    joined = await join_room(t, room_id, guest)
    ours = t.server()
    user, own = user_of(ours), joined.cites(joined.join.pdu)
    content: Json = {"membership": "join"}
    pdu = await joined.build("m.room.member", content, joined.user_id)
    cited = [each for each in as_list(pdu["auth_events"], "cited") if each != own]
    event = MemberEvent(ours, pdu, joined.version).changed(
        sender=user, state_key=user, auth_events=cited
    )
    return refused(await put(t, "join", event))


async def denied_join(t: Target) -> MemberEvent:
    """A join of a server that the ACL denies, as from a template of another name.

    Where all names of ours are denied, it stands nowhere in the room.
    """
    [guest, _], room_id = t.facts.guests["acl"], t.facts.rooms["acl"]
    template, user = await make(t, t.server(), "join", room_id), user_of(guest)
    if template.is_ok:
        return sign(t, guest, template, sender=user, state_key=user)
    pdu: Json = {
        "type": "m.room.member",
        "room_id": room_id,
        "sender": user,
        "state_key": user,
        "content": {"membership": "join"},
        "prev_events": [],
        "auth_events": [],
        "depth": 1,
        "origin_server_ts": guest.now_ts,
    }
    return MemberEvent(guest, pdu, ROOM_VERSIONS[SPECIAL_VERSION]).changed()


@check("J41", must, _ACLS, needs=[TRUSTED_NAME, ACL_ROOM], after=["J08"])
async def denied(t: Target) -> Outcome:
    """A room refuses a join of a server that its ACL denies."""
    return answered(await put(t, "join", await denied_join(t)), 403, "M_FORBIDDEN")
