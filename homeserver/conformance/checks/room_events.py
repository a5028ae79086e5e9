"""G: events of a room, the state at them, and their auth chains.

Rules: the room is asked as a member of it, and as a server that is not in it.
"""

from collections.abc import Callable

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    info,
    must,
    room,
    should,
)
from homeserver.conformance.joined_room import JoinedRoom, id_in
from homeserver.conformance.joining import enter
from homeserver.conformance.membership_requests import events_in, make, quoted
from homeserver.conformance.outcome import (
    NotTestable,
    Outcome,
    each_of,
    expect,
    reported,
)
from homeserver.conformance.past_room import VERSION, PastRoom, ask, past_room
from homeserver.conformance.reply import Reply, answered, refused, status
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import templates_event
from homeserver.protocol.canonical_json import Json, as_list

_V1 = "Server-server API, GET /_matrix/federation/v1"
_EVENT = f"{_V1}/event/{{eventId}}"
_STATE = f"{_V1}/state/{{roomId}}"
_STATE_IDS = f"{_V1}/state_ids/{{roomId}}"
_AUTH = f"{_V1}/event_auth/{{roomId}}/{{eventId}}"
_REJECTION = "Server-server API, Rejection"

NEEDS = [TRUSTED_NAME, room(VERSION)]
AFTER = [f"J20.v{VERSION}"]

UNKNOWN = "$" + "A" * 43
"""An event ID of today's form that nothing has."""

_BOTH = ("state", "state_ids")


def of(event_id: str) -> str:
    """The query about an event."""
    return f"event_id={quoted(event_id)}"


@check("G01", must, _EVENT, needs=NEEDS, after=AFTER)
async def event(t: Target) -> Outcome:
    """An event comes as the one PDU of a transaction of the target."""
    joined = await past_room(t)
    reply = await joined.event(joined.ids[0])
    found, ts = reply.json.get("origin"), reply.json.get("origin_server_ts")
    pdus = events_in(reply, "pdus")
    ids = [joined.id_of(each) for each in pdus if isinstance(each, dict)]
    return expect(
        found == t.name.name and isinstance(ts, int) and ids == joined.ids[:1],
        reply,
        f"origin {found!r}, origin_server_ts {ts!r}, events {ids}",
        wanted=f"{joined.ids[0]} of origin {t.name}, with origin_server_ts",
    )


@check("G02", must, "Server-server API, API standards", needs=NEEDS, after=AFTER)
async def unknown_event(t: Target) -> Outcome:
    """An unknown event is answered by 404 and a JSON object with an errcode."""
    reply = await (await past_room(t)).event(UNKNOWN)
    return expect(
        reply.status == 404 and reply.errcode is not None,
        reply,
        f"body {reply.body[:80]!r}",
        wanted="status 404, an object with errcode",
    )


@check("G03", must, _EVENT, needs=NEEDS, after=AFTER)
async def event_for_stranger(t: Target) -> Outcome:
    """A server that is not in the room gets no event of it."""
    joined = await past_room(t)
    return status(await ask(t, t.server(), "event", joined.ids[0]), 403, 404)


@check("G04", must, _STATE_IDS, needs=NEEDS, after=AFTER)
async def state_ids(t: Target) -> Outcome:
    """The state at an event is that before it, and comes with its auth chain."""
    joined = await past_room(t)
    reply = await joined.get("state_ids", query=of(joined.join.event_id))
    ids, chain = (events_in(reply, each) for each in ("pdu_ids", "auth_chain_ids"))
    create = joined.state["m.room.create", ""].event_id
    return expect(
        create in ids and create in chain and joined.join.event_id not in ids,
        reply,
        f"{len(ids)} pdu_ids, {len(chain)} auth_chain_ids",
        wanted=f"{create} in both, and not {joined.join.event_id}",
    )


@check("G05", must, _STATE, needs=NEEDS, after=AFTER)
async def state(t: Target) -> Outcome:
    """The state and the IDs of the state are of the same events."""
    joined = await past_room(t)
    query = of(joined.ids[1])
    whole, ids = [await joined.get(each, query=query) for each in _BOTH]
    found: list[tuple[str, Outcome]] = []
    for member in ("pdu", "auth_chain"):
        name = "pdus" if member == "pdu" else member
        events = [each for each in events_in(whole, name) if isinstance(each, dict)]
        by_event = {joined.id_of(each) for each in events}
        by_id = set(map(str, events_in(ids, f"{member}_ids")))
        is_met = bool(by_id) and by_event == by_id
        shown = f"{len(by_event)} events, {len(by_id)} IDs"
        apart = f"apart {sorted(by_event ^ by_id)[:3]}"
        outcome = expect(is_met, shown, apart, wanted="the same ones")
        found.append((name, outcome))
    return each_of(found)


def _states(
    check_id: str,
    rule: str,
    query: Callable[[PastRoom], str | None],
    judge: Callable[[Reply], Outcome],
) -> Check:
    """Both routes of states, asked in one way."""

    async def run(t: Target) -> Outcome:
        joined = await past_room(t)
        asked = query(joined)
        replies = [(each, await joined.get(each, query=asked)) for each in _BOTH]
        return each_of((name, judge(reply)) for name, reply in replies)

    return check(check_id, must, _STATE_IDS, needs=NEEDS, after=AFTER, rule=rule)(run)


STATES = [
    _states(
        "G06",
        "A state without `event_id` is refused with 400.",
        lambda _: None,
        lambda reply: status(reply, 400),
    ),
    _states(
        "G07",
        "The state at an unknown event is answered by 404 M_NOT_FOUND.",
        lambda _: of(UNKNOWN),
        lambda reply: answered(reply, 404, "M_NOT_FOUND"),
    ),
]


@check("G08", must, _STATE_IDS, needs=NEEDS, after=AFTER)
async def state_for_stranger(t: Target) -> Outcome:
    """A server that is not in the room gets no state of it: 403 M_FORBIDDEN."""
    joined = await past_room(t)
    query = of(joined.ids[0])
    replies = [(each, await joined.as_stranger(each, query=query)) for each in _BOTH]
    return each_of((n, answered(reply, 403, "M_FORBIDDEN")) for n, reply in replies)


async def event_elsewhere(t: Target) -> str:
    """The ID of an event of another room of the target; raises `NotTestable`."""
    reply = await make(t, t.server(), "join", t.facts.rooms["11"])
    cited = templates_event(reply.json).get("prev_events")
    if not isinstance(cited, list) or not cited:
        raise NotTestable(f"there is no template of another room: {reply}")
    return id_in(cited[0])


ELSEWHERE = [*NEEDS, room("11")]


@check("G09", must, _STATE_IDS, needs=ELSEWHERE, after=AFTER)
async def state_elsewhere(t: Target) -> Outcome:
    """The state of a room at an event of another room is refused."""
    joined = await past_room(t)
    query = of(await event_elsewhere(t))
    replies = [(each, await joined.get(each, query=query)) for each in _BOTH]
    return each_of((name, refused(reply)) for name, reply in replies)


@check("G19", must, _AUTH, needs=NEEDS, after=AFTER)
async def auth_chain(t: Target) -> Outcome:
    """The auth chain of an event has what it rests on, and not the event itself."""
    joined = await past_room(t)
    message = joined.messages[0]
    reply = await joined.get("event_auth", joined.ids[0])
    events = [each for each in events_in(reply, "auth_chain") if isinstance(each, dict)]
    found = {joined.id_of(each) for each in events}
    cited = set(map(id_in, as_list(message["auth_events"], "auth_events")))
    return expect(
        cited <= found and joined.ids[0] not in found,
        reply,
        f"without {sorted(cited - found)}" if cited - found else f"{len(found)} events",
        wanted="the events that it cites, and not itself",
    )


@check("G20", should, _AUTH, needs=NEEDS, after=AFTER)
async def unknown_auth_chain(t: Target) -> Outcome:
    """The auth chain of an unknown event is answered by 404."""
    return status(await (await past_room(t)).get("event_auth", UNKNOWN), 404)


async def rejected_event(joined: JoinedRoom) -> Json:
    """An event of ours that the target has rejected; raises `NotTestable`.

    A member without power names the room.
    """
    async with joined.turn():
        place = await joined.place()
        pdu = await joined.build("m.room.name", {"name": "ours"}, "", at=place)
        if await joined.accepts(pdu, at=place):
            raise NotTestable("an event that no rule allows was accepted")
    return pdu


def _rejected(check_id: str, severity: Severity, section: str, rule: str) -> Check:
    async def run(t: Target) -> Outcome:
        joined = await enter(t, VERSION)
        bad = await rejected_event(joined)
        bad_id = joined.id_of(bad)
        if severity is should:
            reply = await joined.get("state_ids", query=of(bad_id))
            return answered(reply, 404, "M_NOT_FOUND")
        by_id = await joined.event(bad_id)
        async with joined.turn():
            child = await joined.message("after it", at=joined.after(bad))
            await joined.send(child)
        query = f"v={quoted(joined.id_of(child))}&limit=5"
        past = await joined.get("backfill", query=query)
        events = [each for each in events_in(past, "pdus") if isinstance(each, dict)]
        is_there = bad_id in {joined.id_of(each) for each in events}
        where = "with it" if is_there else "without it"
        return reported(f"by its ID {by_id}", f"backfill {past} {where}")

    return check(check_id, severity, section, needs=NEEDS, after=AFTER, rule=rule)(run)


REJECTED = [
    _rejected(
        "G26",
        should,
        _STATE_IDS,
        "The state at a rejected event is answered by 404 M_NOT_FOUND.",
    ),
    _rejected(
        "G27",
        info,
        _REJECTION,
        "A rejected event is given by its ID and by backfill, or it is not.",
    ),
]
