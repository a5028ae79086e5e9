"""G and E: a room whose ACL denies a name of ours: requests, PDUs and EDUs of it.

Rules: each request would be answered otherwise, as far as a server that never got into
the room can make one: its member events are made from the template of another name.
"""

from collections.abc import Mapping

from homeserver.conformance.check import ACL_ROOM, TRUSTED_NAME, check, must
from homeserver.conformance.checks.closed_rooms import denied_join
from homeserver.conformance.checks.room_events import UNKNOWN, of
from homeserver.conformance.checks.transactions import pdus_of
from homeserver.conformance.documents import as_json
from homeserver.conformance.membership_requests import (
    MemberEvent,
    make,
    path,
    quoted,
    user_of,
)
from homeserver.conformance.outcome import Outcome, each_of, expect
from homeserver.conformance.reply import Reply, accepted, answered
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS

_ACLS = "Server-server API, Server Access Control Lists (ACLs)"

_NEEDS = [TRUSTED_NAME, ACL_ROOM]


def _events(t: Target, join: MemberEvent) -> Mapping[str, MemberEvent]:
    """The member events of the denied server, by the routes that take them."""
    invited = t.facts.users[0] if t.facts.users else f"@nobody:{t.name}"
    invite = join.changed(state_key=invited, content={"membership": "invite"})
    # Version 1 of the route is for rooms of the first versions alone.
    first = MemberEvent(join.ours, invite.pdu, ROOM_VERSIONS["1"])
    return {
        "v2/send_join": join,
        "v2/send_leave": join.changed(content={"membership": "leave"}),
        "v1/send_knock": join.changed(content={"membership": "knock"}),
        "v1/invite": first.changed(
            event_id=f"${t.fresh('event')}:{join.ours.name}",
            prev_events=[],
            auth_events=[],
        ),
        "v2/invite": invite,
    }


async def _put(t: Target, route: str, event: MemberEvent) -> Reply:
    where = "/".join(["/_matrix/federation", route, *map(quoted, (_room(t), event.id))])
    content = event.pdu
    if route == "v2/invite":
        content = {"room_version": event.version.version, "event": event.pdu}
    return await t.request(event.ours, "PUT", where, content=content)


def _room(t: Target) -> str:
    return t.facts.rooms["acl"]


async def _others(t: Target, join: MemberEvent) -> dict[str, Reply]:
    """The replies to the requests that send no event."""
    ours, room_id = join.ours, _room(t)
    replies = {
        f"make_{kind}": await make(t, ours, kind, room_id)
        for kind in ("join", "leave", "knock")
    }
    for route, steps, query in (
        ("state", [], of(UNKNOWN)),
        ("state_ids", [], of(UNKNOWN)),
        ("backfill", [], f"v={quoted(UNKNOWN)}&limit=5"),
        ("event_auth", [UNKNOWN], None),
    ):
        where = path(route, room_id, *steps)
        replies[route] = await t.request(ours, "GET", where, query=query)
    where = path("get_missing_events", room_id)
    content: Json = {"earliest_events": [], "latest_events": [UNKNOWN]}
    reply = await t.request(ours, "POST", where, content=content)
    return {**replies, "get_missing_events": reply}


@check("G23", must, _ACLS, needs=_NEEDS, after=["J08"])
async def denied_requests(t: Target) -> Outcome:
    """All requests about a room of a server that its ACL denies are refused by 403."""
    join = await denied_join(t)
    replies = await _others(t, join)
    for route, event in _events(t, join).items():
        replies[route] = await _put(t, route, event)
    return each_of(
        (name, answered(reply, 403, "M_FORBIDDEN")) for name, reply in replies.items()
    )


@check("G24", must, _ACLS, needs=_NEEDS, after=["J08"])
async def denied_pdu(t: Target) -> Outcome:
    """A PDU of a room from a server that its ACL denies has an error."""
    join = await denied_join(t)
    content: Json = {"msgtype": "m.text", "body": "hello"}
    message = join.changed(type="m.room.message", state_key=None, content=content)
    transaction = t.transaction(message.ours, [message.pdu])
    reply = await t.ask(message.ours, content=transaction)
    verdict = as_json((pdus_of(reply) or {}).get(message.id))
    return expect(
        reply.is_ok and "error" in verdict,
        reply,
        f"pdus {reply.json.get('pdus')!r}",
        wanted=f"an error for {message.id}",
    )


@check("E41", must, _ACLS, needs=_NEEDS, after=["J08"])
async def denied_edus(t: Target) -> Outcome:
    """Typing and receipts of a server that the ACL denies cost nothing else."""
    ours, room_id = t.facts.guests["acl"][0], _room(t)
    user = user_of(ours)
    typing = {"room_id": room_id, "user_id": user, "typing": True}
    read = {"event_ids": [UNKNOWN], "data": {"ts": t.now_ts}}
    edus = [
        {"edu_type": "m.typing", "content": typing},
        {"edu_type": "m.receipt", "content": {room_id: {"m.read": {user: read}}}},
    ]
    return accepted(await t.ask(ours, content=t.transaction(ours, edus=edus)))
