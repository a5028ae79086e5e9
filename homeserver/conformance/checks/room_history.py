"""G: the history of a room: backfill, what is missing between events, times.

Rules: the room has some messages of ours, one after the other.
"""

from collections.abc import Sequence

from homeserver.conformance.check import (
    HIDDEN_ROOM,
    TRUSTED_NAME,
    check,
    info,
    must,
    robustness,
    should,
)
from homeserver.conformance.checks.room_events import (
    AFTER,
    ELSEWHERE,
    NEEDS,
    event_elsewhere,
)
from homeserver.conformance.documents import as_json
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import join_room
from homeserver.conformance.membership_requests import events_in, path, quoted
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, each_of, expect, reported
from homeserver.conformance.past_room import past_room
from homeserver.conformance.reply import Reply, answered, no_failure, status
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json

_V1 = "Server-server API, GET /_matrix/federation/v1"
_BACKFILL = f"{_V1}/backfill/{{roomId}}"
_MISSING = "Server-server API, POST /_matrix/federation/v1/get_missing_events/{roomId}"
_TIME = f"{_V1}/timestamp_to_event/{{roomId}}"
_VISIBILITY = "Client-server API, Room History Visibility"

_DEFAULT_LIMIT = 10
_FAR_TS = 10**14  # later than the time of any event


def _ids(joined: JoinedRoom, reply: Reply, member: str) -> list[str]:
    events = events_in(reply, member)
    return [joined.id_of(each) for each in events if isinstance(each, dict)]


def _from(event_id: str, limit: int) -> str:
    return f"v={quoted(event_id)}&limit={limit}"


@check("G10", must, _BACKFILL, needs=NEEDS, after=AFTER)
async def backfill(t: Target) -> Outcome:
    """Backfill gives at most as many events as it is asked for, with the first one."""
    joined = await past_room(t)
    reply = await joined.get("backfill", query=_from(joined.ids[-1], 5))
    found = _ids(joined, reply, "pdus")
    return expect(
        len(found) <= 5 and joined.ids[-1] in found,
        reply,
        f"events {found}",
        wanted=f"at most 5 events, {joined.ids[-1]} among them",
    )


@check("G11", robustness, "", needs=NEEDS, after=AFTER)
async def large_limit(t: Target) -> Outcome:
    """Backfill with a limit of a million is answered."""
    joined = await past_room(t)
    return no_failure(
        await joined.get("backfill", query=_from(joined.ids[-1], 1_000_000))
    )


@check("G12", robustness, "", needs=NEEDS, after=AFTER)
async def incomplete_backfill(t: Target) -> Outcome:
    """Backfill without `v` or `limit` is refused with 400 and an errcode."""
    joined = await past_room(t)
    found = []
    for name, query in [
        ("no v", "limit=5"),
        ("no limit", f"v={quoted(joined.ids[-1])}"),
    ]:
        reply = await joined.get("backfill", query=query)
        is_met = reply.status == 400 and reply.errcode is not None
        found.append((name, expect(is_met, reply, wanted="status 400, an errcode")))
    return each_of(found)


@check("G13", must, _BACKFILL, needs=NEEDS, after=AFTER)
async def backfill_for_stranger(t: Target) -> Outcome:
    """A server that is not in the room gets no history of it: 403."""
    joined = await past_room(t)
    query = _from(joined.ids[-1], 5)
    return status(await joined.as_stranger("backfill", query=query), 403)


@check("G14", must, _BACKFILL, needs=ELSEWHERE, after=AFTER)
async def backfill_elsewhere(t: Target) -> Outcome:
    """Backfill from an event of another room gives nothing of that room."""
    joined = await past_room(t)
    reply = await joined.get("backfill", query=_from(await event_elsewhere(t), 5))
    events = [as_json(each) for each in events_in(reply, "pdus")]
    rooms = {str(each.get("room_id")) for each in events} - {joined.room_id}
    return expect(
        not rooms and not reply.is_failure,
        reply,
        f"events of {sorted(rooms)}" if rooms else "no event of it",
    )


async def _missing(t: Target, ours: Ours, room_id: str, content: Json) -> Reply:
    where = path("get_missing_events", room_id)
    return await t.request(ours, "POST", where, content=content)


def _between(earliest: Sequence[str], latest: Sequence[str], **more: int) -> Json:
    return {"earliest_events": [*earliest], "latest_events": [*latest], **more}


@check("G15", must, _MISSING, needs=NEEDS, after=AFTER)
async def missing_events(t: Target) -> Outcome:
    """The events between some and others are given, without these."""
    joined = await past_room(t)
    ids = joined.ids[:4]
    content = _between(ids[:1], ids[3:], limit=10)
    reply = await _missing(t, joined.ours, joined.room_id, content)
    found = _ids(joined, reply, "events")
    return expect(
        sorted(found) == sorted(ids[1:3]),
        reply,
        f"events {found}",
        wanted=f"{ids[1]} and {ids[2]}",
    )


@check("G16", must, _MISSING, needs=NEEDS, after=AFTER)
async def default_limit(t: Target) -> Outcome:
    """Without a limit, ten missing events are given at most."""
    joined = await past_room(t)
    content = _between([joined.join.event_id], joined.ids[-1:])
    reply = await _missing(t, joined.ours, joined.room_id, content)
    count = len(_ids(joined, reply, "events"))
    return expect(
        0 < count <= _DEFAULT_LIMIT, reply, f"{count} events", wanted="1 to 10 events"
    )


@check("G17", info, _MISSING, needs=NEEDS, after=AFTER)
async def no_latest(t: Target) -> Outcome:
    """Missing events are refused without `latest_events`, or they are not."""
    joined = await past_room(t)
    content: Json = {"earliest_events": joined.ids[:1]}
    return reported(await _missing(t, joined.ours, joined.room_id, content))


@check("G18", must, _MISSING, needs=NEEDS, after=AFTER)
async def missing_for_stranger(t: Target) -> Outcome:
    """A server that is not in the room gets no missing events of it: 403."""
    joined = await past_room(t)
    content = _between(joined.ids[:1], joined.ids[-1:])
    return status(await _missing(t, t.server(), joined.room_id, content), 403)


@check("G21", must, _TIME, needs=NEEDS, after=AFTER)
async def at_time(t: Target) -> Outcome:
    """The last event before a time is found, and none after all: 404 M_NOT_FOUND."""
    joined = await past_room(t)
    before = await joined.get("timestamp_to_event", query=f"ts={t.now_ts}&dir=b")
    after = await joined.get("timestamp_to_event", query=f"ts={_FAR_TS}&dir=f")
    found, ts = before.json.get("event_id"), before.json.get("origin_server_ts")
    is_met = before.is_ok and isinstance(found, str) and isinstance(ts, int)
    shown = f"event_id {found!r}, origin_server_ts {ts!r}"
    wanted = "event_id and origin_server_ts"
    return each_of(
        [
            ("back", expect(is_met, before, shown, wanted=wanted)),
            ("ahead of all", answered(after, 404, "M_NOT_FOUND")),
        ]
    )


@check("G22", should, _TIME, needs=NEEDS, after=AFTER)
async def time_for_stranger(t: Target) -> Outcome:
    """A server that is not in the room finds no event by its time: 403."""
    joined = await past_room(t)
    query = f"ts={t.now_ts}&dir=b"
    return status(await joined.as_stranger("timestamp_to_event", query=query), 403)


@check("G25", must, _VISIBILITY, needs=[TRUSTED_NAME, HIDDEN_ROOM], after=AFTER)
async def hidden(t: Target) -> Outcome:
    """What only members of then may read is redacted, or refused, for later ones."""
    room_id = t.facts.rooms["hidden"]
    first = await join_room(t, room_id)
    secret = await first.say("a secret")
    secret_id = first.id_of(secret)
    later = await join_room(t, room_id)
    query = _from(later.join.event_id, 10)
    replies = {
        "event": await later.event(secret_id),
        "backfill": await later.get("backfill", query=query),
    }
    found = []
    for name, reply in replies.items():
        events = [as_json(each) for each in events_in(reply, "pdus")]
        shown = [each for each in events if as_json(each.get("content")).get("body")]
        wanted = "no content of the message"
        found.append((name, expect(not shown, reply, f"shown {shown}", wanted=wanted)))
    return each_of(found)
