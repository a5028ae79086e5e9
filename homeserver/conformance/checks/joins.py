"""J: joins to rooms of the target: templates, and whole joins.

Rules: a template is a proposal, and has what the joining server cannot know. The reply
to a join has the state before it, whose events the joining server verifies.
"""

from homeserver.conformance.check import TRUSTED_NAME, Check, check, must, room
from homeserver.conformance.joining import enter
from homeserver.conformance.membership_requests import events_in, make, user_of
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.provision import ROOM_VERSIONS
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import (
    events_of,
    keys_of_target,
    problem_in,
    templates_event,
)

_MAKE = "Server-server API, GET /_matrix/federation/v1/make_join/{roomId}/{userId}"
_SEND = "Server-server API, PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}"

USUAL = "10"
"""The version of the room in which most is tried."""


@check("J01", must, _MAKE, needs=[TRUSTED_NAME, room(USUAL)])
async def template(t: Target) -> Outcome:
    """A template has the version, the room, the user, and the events before it."""
    ours, room_id = t.server(), t.facts.rooms[USUAL]
    reply = await make(t, ours, "join", room_id)
    event, user = templates_event(reply.json), user_of(ours)
    content = event.get("content")
    found = {
        "room_version": reply.json.get("room_version"),
        "type": event.get("type"),
        "room_id": event.get("room_id"),
        "sender": event.get("sender"),
        "state_key": event.get("state_key"),
        "membership": content.get("membership") if isinstance(content, dict) else None,
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
    return check(f"J20.v{version}", must, _SEND, needs=needs, rule=rule)(run)


WHOLE_JOINS = [_whole_join(version) for version in ROOM_VERSIONS]
