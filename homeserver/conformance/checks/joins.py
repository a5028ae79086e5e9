"""J: joins to rooms of the target: templates, and whole joins.

Rules: a template is a proposal, and has what the joining server cannot know. The reply
to a join has the state before it, whose events the joining server verifies.
"""

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    check,
    info,
    must,
    robustness,
    room,
)
from homeserver.conformance.documents import as_json
from homeserver.conformance.joining import enter, join_room
from homeserver.conformance.membership_requests import (
    events_in,
    make,
    user_of,
)
from homeserver.conformance.outcome import Outcome, each_of, expect, reported
from homeserver.conformance.provision import ROOM_VERSIONS
from homeserver.conformance.reply import accepted, answered, present, refused
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import (
    events_of,
    keys_of_target,
    problem_in,
    templates_event,
)

MAKE_JOIN = "Server-server API, GET /_matrix/federation/v1/make_join/{roomId}/{userId}"
SEND_JOIN = "Server-server API, PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}"

USUAL = "10"
"""The version of the room in which most is tried."""


@check("J01", must, MAKE_JOIN, needs=[TRUSTED_NAME, room(USUAL)])
async def template(t: Target) -> Outcome:
    """A template has the version, the room, the user, and the events before it."""
    ours, room_id = t.server(), t.facts.rooms[USUAL]
    reply = await make(t, ours, "join", room_id)
    event, user = templates_event(reply.json), user_of(ours)
    content = as_json(event.get("content"))
    found = {
        "room_version": reply.json.get("room_version"),
        "type": event.get("type"),
        "room_id": event.get("room_id"),
        "sender": event.get("sender"),
        "state_key": event.get("state_key"),
        "membership": content.get("membership"),
    }
    wanted = {
        "room_version": USUAL,
        "type": "m.room.member",
        "room_id": room_id,
        "sender": user,
        "state_key": user,
        "membership": "join",
    }
    lists = [event.get(each) for each in ("prev_events", "auth_events")]
    lacks = not all(isinstance(each, list) and each for each in lists)
    wrong = {k: v for k, v in found.items() if v != wanted[k]}
    return expect(
        reply.is_ok and not wrong and not lacks,
        reply,
        f"wrong {wrong}, prev_events and auth_events {lists}",
        wanted=f"{wanted}, prev_events and auth_events",
    )


@check("J02", must, MAKE_JOIN, needs=[TRUSTED_NAME, room(USUAL)])
async def no_version(t: Target) -> Outcome:
    """Without `ver`, a room of another version than 1 is incompatible."""
    reply = await make(t, t.server(), "join", t.facts.rooms[USUAL], query=None)
    named = reply.json.get("room_version")
    return expect(
        (reply.status, reply.errcode) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
        and named == USUAL,
        reply,
        f"room_version {named!r}",
        wanted=f"status 400 M_INCOMPATIBLE_ROOM_VERSION, room_version {USUAL!r}",
    )


@check("J03", must, MAKE_JOIN, needs=[TRUSTED_NAME, room("1")])
async def first_version(t: Target) -> Outcome:
    """Without `ver`, a room of version 1 is compatible."""
    return accepted(await make(t, t.server(), "join", t.facts.rooms["1"], query=None))


@check("J04", must, MAKE_JOIN, needs=[TRUSTED_NAME])
async def unknown_room(t: Target) -> Outcome:
    """A room that there is not is answered by 404 M_NOT_FOUND."""
    room_id = f"!{t.fresh('none')}:{t.name}"
    reply = present(await make(t, t.server(), "join", room_id))
    return answered(reply, 404, "M_NOT_FOUND")


@check("J05", must, MAKE_JOIN, needs=[TRUSTED_NAME, room(USUAL)])
async def foreign_user(t: Target) -> Outcome:
    """A join of another server's user is refused by 403 M_FORBIDDEN."""
    other = user_of(t.server())
    reply = await make(t, t.server(), "join", t.facts.rooms[USUAL], user_id=other)
    return answered(reply, 403, "M_FORBIDDEN")


@check("J09", robustness, "", needs=[TRUSTED_NAME, room(USUAL)])
async def garbage(t: Target) -> Outcome:
    """A template for what is no room or no user is refused."""
    ours, room_id = t.server(), t.facts.rooms[USUAL]
    odd = [("garbage", user_of(ours)), (room_id, "garbage"), ("!\0:", "@\0:")]
    replies = [
        (f"{where!r} {user!r}", await make(t, ours, "join", where, user_id=user))
        for where, user in odd
    ]
    return each_of((name, refused(reply)) for name, reply in replies)


def _whole_join(version: str) -> Check:
    """A join to the public room of a version."""

    async def run(t: Target) -> Outcome:
        joined = await enter(t, version)
        keys, ours = await keys_of_target(t), joined.version
        state = events_in(joined.member.reply, "state")
        chain = events_in(joined.member.reply, "auth_chain")
        problems = [
            problem
            for each in (*state, *chain)
            if (problem := problem_in(each, ours, t.name, keys)) is not None
        ]
        events = events_of((*state, *chain), ours)
        strays = [e.event_id for e in events if e.room_id != joined.room_id]
        if not any(e.type == "m.room.create" for e in events_of(state, ours)):
            problems.append("there is no create event in state")
        return expect(
            not problems and not strays,
            f"{len(state)} events of state, {len(chain)} of auth_chain",
            *problems[:3],
            *(f"{each} is of another room" for each in strays[:3]),
            wanted="the state of the room, each event hashed and signed",
        )

    rule = f"The reply to a join to a room of version {version} has its sound state."
    needs = [TRUSTED_NAME, room(version)]
    return check(f"J20.v{version}", must, SEND_JOIN, needs=needs, rule=rule)(run)


WHOLE_JOINS = [_whole_join(version) for version in ROOM_VERSIONS]


@check(
    "J21", must, SEND_JOIN, needs=[TRUSTED_NAME, room(USUAL)], after=[f"J20.v{USUAL}"]
)
async def without_members(t: Target) -> Outcome:
    """A reply that leaves members out says so, and names the servers in the room."""
    room_id = t.facts.rooms[USUAL]
    joined = await join_room(t, room_id, differs={"query": "omit_members=true"})
    reply = joined.member.reply
    omitted = reply.json.get("members_omitted")
    servers = reply.json.get("servers_in_room")
    is_named = isinstance(servers, list) and t.name.name in servers
    return expect(
        is_named or omitted in {None, False},
        reply,
        f"members_omitted {omitted!r}, servers_in_room {servers!r}",
        wanted="servers_in_room with the target among them, if members_omitted",
    )


@check(
    "J42",
    info,
    "Server-server API, Joining Rooms",
    needs=[TRUSTED_NAME, room(USUAL)],
    after=[f"J20.v{USUAL}"],
)
async def old_route(t: Target) -> Outcome:
    """The route of version 1, removed in v1.18, is absent, or answers with a list."""
    joined = await join_room(t, t.facts.rooms[USUAL], differs={"api": 1})
    reply = joined.member.reply
    kind = "a list" if isinstance(reply.content, list) else "no list"
    return reported(reply, kind)


@check(
    "J43",
    info,
    "Server-server API, Joining Rooms",
    needs=[TRUSTED_NAME, room(USUAL)],
    after=[f"J20.v{USUAL}"],
)
async def countersigned(t: Target) -> Outcome:
    """A join that needs no authorization comes back with the target's signature."""
    joined = await enter(t, USUAL)
    back = templates_event(joined.member.reply.json)
    signers = sorted(as_json(back.get("signatures")))
    return reported(f"event signed by {', '.join(signers) or 'none'}")
