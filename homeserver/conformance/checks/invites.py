"""I: invites of the target's user to a room of ours.

Rules: each check has a room of its own, which no other server is in. A target that
limits the invites of one user is asked about the next one.
"""

from collections.abc import Callable

import nacl.signing

from homeserver.conformance.check import (
    TRUSTED_NAME,
    USER,
    Check,
    Severity,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.documents import (
    as_json,
    is_signed,
    own_document,
    usable_keys,
)
from homeserver.conformance.invite import Invite, asked
from homeserver.conformance.our_room import OurRoom
from homeserver.conformance.outcome import NotTestable, Outcome, expect, reported, unmet
from homeserver.conformance.reply import Reply, refused, status
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import redact
from homeserver.protocol.signing import SigningKey

_ROUTE = "Server-server API, PUT /_matrix/federation/v2/invite/{roomId}/{eventId}"
_ROUTE_1 = "Server-server API, PUT /_matrix/federation/v1/invite/{roomId}/{eventId}"
_INVITING = "Server-server API, Inviting to a room"

VERSIONS = ("1", "3", "6", "10", "11", "12")
_USUAL = "10"  # the last one without further duties

_SECTIONS = {
    "I09": _INVITING,
    "I14": "",
    "I15": "",
    "I16": "Room version 6, Canonical JSON",
}
"""Of those that are not about the route."""

_CHOICES = {
    (400, "M_INCOMPATIBLE_ROOM_VERSION"): "the target has no rooms of this version",
    (403, "M_FORBIDDEN"): "the target lets none of ours invite its user",
    (403, "M_INVITE_BLOCKED"): "the target's user blocks invites",
}
"""How a sound invite may be refused: no text demands each version, or any invite."""

_UNKNOWN_VERSION = "org.example.unknown"


def _countersigned(invite: Invite, sent: Json, back: Json, document: Json) -> Outcome:
    """Whether an event came back unchanged, with a signature of the target."""
    version, server = invite.room.room_version, invite.target.name.name
    apart = ("signatures", "unsigned")
    changed = sorted(
        name
        for name in {*sent, *back}
        if name not in apart and sent.get(name) != back.get(name)
    )
    ours = as_json(sent["signatures"]).items()
    if changed or not ours <= as_json(back.get("signatures")).items():
        what = ", ".join(changed) or "our signature"
        return unmet(f"changed: {what}", wanted="the event as it was")
    signed = redact(back, version)
    keys = usable_keys(document).values()
    is_met = any(is_signed(signed, server, key) for key in keys)
    found = sorted(as_json(as_json(back["signatures"]).get(server)))
    return expect(
        is_met,
        f"signatures of {server}: {', '.join(found) or 'none'}",
        wanted="a signature that verifies with a key that the target publishes",
    )


def _sound(version: str) -> Check:
    async def run(t: Target) -> Outcome:
        document = await own_document(t)
        invite, reply = await asked(t, version)
        if (why := _CHOICES.get((reply.status, reply.errcode or ""))) is not None:
            raise NotTestable(f"{why}: {reply}")
        if not reply.is_ok:
            return status(reply, 200)
        sent, back = as_json(invite.event), as_json(reply.json.get("event"))
        return _countersigned(invite, sent, back, document)

    rule = f"An invite to a room of version {version} comes back with a signature."
    needs = [TRUSTED_NAME, USER]
    return check(f"I01.v{version}", must, _ROUTE, needs=needs, rule=rule)(run)


SOUND = [_sound(version) for version in VERSIONS]


def _row(
    check_id: str,
    severity: Severity,
    rule: str,
    change: Callable[[Invite], object],
    judge: Callable[[Reply], Outcome] = refused,
    version: str = _USUAL,
) -> Check:
    """One invite that differs from a sound one in one thing."""

    async def run(t: Target) -> Outcome:
        _, reply = await asked(t, version, change)
        return judge(reply)

    return check(
        check_id,
        severity,
        _SECTIONS.get(check_id, _ROUTE),
        needs=[TRUSTED_NAME, USER],
        after=[f"I01.v{version}"],
        rule=rule,
    )(run)


def _other_key(invite: Invite) -> None:
    key = nacl.signing.SigningKey.generate()
    invite.key = SigningKey(invite.key.key_id, key)


def _other_sender(invite: Invite) -> None:
    invite.signer = invite.target.server()
    invite.key = invite.signer.key
    invite.pdu["sender"] = f"@user:{invite.signer.name}"


def _content(**members: object) -> Callable[[Invite], None]:
    def change(invite: Invite) -> None:
        invite.pdu["content"] = {"membership": "invite", **members}

    return change


def _without(member: str) -> Callable[[Invite], None]:
    return lambda invite: invite.left_out.append(member)


def _foreign_create(invite: Invite) -> None:
    ours, fresh = invite.target.server(), invite.target.fresh
    other = OurRoom.create(ours, invite.room.room_version.version, fresh)
    _, *others = invite.room.shown_state
    invite.more["invite_room_state"] = [other.events[0].pdu, *others]


def _no_create(invite: Invite) -> None:
    _, *others = invite.room.shown_state
    invite.more["invite_room_state"] = others


def _other_room(invite: Invite) -> None:
    ours, fresh = invite.ours, invite.target.fresh
    invite.room_id = OurRoom.create(ours, _USUAL, fresh).room_id


def _incompatible(reply: Reply) -> Outcome:
    code = "M_INCOMPATIBLE_ROOM_VERSION"
    return expect(
        (reply.status, reply.errcode) == (400, code), reply, wanted=f"status 400 {code}"
    )


def _bad_request(reply: Reply) -> Outcome:
    return status(reply, 400)


INVITES = [
    _row("I02", must, "An invite that another key has signed is refused.", _other_key),
    _row(
        "I03",
        must,
        "An unknown room version is refused with M_INCOMPATIBLE_ROOM_VERSION.",
        lambda invite: invite.more.update(room_version=_UNKNOWN_VERSION),
        _incompatible,
    ),
    _row(
        "I05",
        must,
        "An invite whose membership is join is refused.",
        _content(membership="join"),
    ),
    _row(
        "I06",
        must,
        "An event of another type is not signed as an invite.",
        lambda invite: invite.pdu.update(type="m.room.message"),
    ),
    _row(
        "I07",
        should,
        "An invite to a room of version 12 needs the create event beside it.",
        _no_create,
        version="12",
    ),
    _row(
        "I08",
        should,
        "The create event beside an invite has to be that of the room.",
        _foreign_create,
        version="12",
    ),
    _row(
        "I09",
        info,
        "An invite without invite_room_state is taken, or refused.",
        _without("invite_room_state"),
        reported,
    ),
    _row(
        "I10",
        must,
        "An invite of a sender of another server than the origin is refused.",
        _other_sender,
    ),
    _row(
        "I13",
        must,
        "An invite whose room is not the one of the path is refused.",
        _other_room,
    ),
    _row(
        "I14",
        robustness,
        "A body without an event is refused with 400.",
        _without("event"),
        _bad_request,
    ),
    _row(
        "I15",
        robustness,
        "A body without a room version is refused with 400.",
        _without("room_version"),
        _bad_request,
    ),
    _row(
        "I16",
        must,
        "An invite with a float in it is refused with 400.",
        _content(float=1.5),
        _bad_request,
    ),
]


@check("I04", must, _ROUTE, needs=[TRUSTED_NAME])
async def user_of_another(t: Target) -> Outcome:
    """An invite of a user of another server is refused."""
    return refused(await Invite(t, _USUAL, "@user:elsewhere.invalid").send())


@check("I11", info, _INVITING, needs=[TRUSTED_NAME])
async def unknown_user(t: Target) -> Outcome:
    """An invite of a user that there is not is taken, or refused."""
    return reported(await Invite(t, _USUAL, f"@{t.fresh('none')}:{t.name}").send())


@check("I12", should, _ROUTE_1, needs=[TRUSTED_NAME, USER], after=["I01.v1"])
async def first_form(t: Target) -> Outcome:
    """Version 1 of the route has the event alone, and its reply in a list."""
    _, reply = await asked(t, "1", is_v2=False)
    found = reply.content
    if not (reply.is_ok and isinstance(found, list) and len(found) == 2):
        return unmet(reply, f"{type(found).__name__}", wanted="[200, {event}]")
    status_code, content = found
    back = as_json(as_json(content).get("event"))
    return expect(
        status_code == 200 and t.name.name in as_json(back.get("signatures")),
        f"a list of {status_code} and {sorted(as_json(content))}",
        wanted="[200, {event}] with a signature of the target",
    )
