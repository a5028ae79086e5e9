"""P: what the target makes of bans and redactions, by the power of who sends them.

Rules: power is given to one user of ours by the room; all others of ours have none.

Specification: Room version 2, "State resolution"; Room version 3, "Handling
redactions".
"""

from homeserver.conformance.check import POWER_ROOM, TRUSTED_NAME, check, must, room
from homeserver.conformance.documents import as_json
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter
from homeserver.conformance.outcome import Outcome, each_of, expect
from homeserver.conformance.power_room import enter_power_room, with_power
from homeserver.conformance.provision import SPECIAL_VERSION
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.rooms.state import member_key

_REDACTIONS = "Room version 3, Handling redactions"

_APART_MS = 1000

_SECONDS = 120.0  # checks of one room wait for each other


@check(
    "P43c",
    must,
    "Room version 2, State resolution",
    needs=[TRUSTED_NAME, POWER_ROOM],
    after=[f"J20.v{SPECIAL_VERSION}"],
    seconds=_SECONDS,
)
async def ban_and_topic(t: Target) -> Outcome:
    """A ban on one branch takes away what its user has set on the other one."""
    outcomes = []
    for is_ban_first in (False, True):
        banned = await enter_power_room(t)
        async with with_power(t) as powerful:
            outcome = await _resolved(powerful, banned, is_ban_first=is_ban_first)
        order = "ban first" if is_ban_first else "topic first"
        outcomes.append((order, outcome))
    return each_of(outcomes)


async def _resolved(
    powerful: JoinedRoom, banned: JoinedRoom, *, is_ban_first: bool
) -> Outcome:
    """Whether the state has the ban, and not the topic, after both branches."""
    powerful.state[member_key(banned.user_id)] = banned.join
    place, now_ts = await powerful.place(), powerful.ours.now_ts
    ban = await powerful.build(
        "m.room.member",
        {"membership": "ban"},
        banned.user_id,
        at=place,
        origin_server_ts=now_ts,
    )
    # It is older than the ban: by their times alone, both would hold.
    topic = await banned.build(
        "m.room.topic",
        {"topic": "of a banned user"},
        "",
        at=place,
        origin_server_ts=now_ts - _APART_MS,
    )
    if is_ban_first:
        await powerful.send(ban)
        await banned.put(topic)  # it is soft-failed, and never an end
    else:
        await banned.send(topic)
        await powerful.send(ban)
    both = await powerful.message("both", at=powerful.after(ban, topic))
    await powerful.send(both)
    state = await powerful.state_at(both)
    has_ban, has_topic = (powerful.id_of(each) in state for each in (ban, topic))
    return expect(
        has_ban and not has_topic,
        f"the state has {'the' if has_ban else 'no'} ban",
        f"{'the' if has_topic else 'no'} topic of the banned user",
        wanted="the ban, and not the topic",
    )


@check(
    "P44",
    must,
    _REDACTIONS,
    needs=[TRUSTED_NAME, room(SPECIAL_VERSION)],
    after=[f"J20.v{SPECIAL_VERSION}"],
    seconds=_SECONDS,
)
async def without_power(t: Target) -> Outcome:
    """A redaction of another server's event by a user without power changes nothing."""
    author, other = await enter(t, SPECIAL_VERSION), await enter(t, SPECIAL_VERSION)
    said = await author.say("not to be redacted")
    async with other.turn():
        return await _redacted(other, author, said, is_allowed=False)


@check(
    "P44b",
    must,
    _REDACTIONS,
    needs=[TRUSTED_NAME, POWER_ROOM],
    after=[f"J20.v{SPECIAL_VERSION}"],
    seconds=_SECONDS,
)
async def by_power(t: Target) -> Outcome:
    """A redaction of another server's event by a user with power is applied."""
    author = await enter_power_room(t)
    said = await author.say("to be redacted")
    async with with_power(t) as powerful:
        return await _redacted(powerful, author, said, is_allowed=True)


async def _redacted(
    joined: JoinedRoom, author: JoinedRoom, said: Json, *, is_allowed: bool
) -> Outcome:
    """Whether a redaction takes an event's content away, if it may."""
    event_id, place = author.id_of(said), await joined.place()
    redaction = await joined.build("m.room.redaction", {}, at=place, redacts=event_id)
    is_accepted = await joined.accepts(redaction, at=place)
    reply = await author.event(event_id)
    pdus = reply.json.get("pdus")
    served = as_json(pdus[0]) if isinstance(pdus, list) and pdus else {}
    content = served.get("content")
    wanted: Json = {} if is_allowed else as_json(said["content"])
    return expect(
        content == wanted,
        f"the redaction is {'' if is_accepted else 'not '}accepted",
        f"event: {reply}",
        f"content {content!r}",
        wanted=f"content {wanted!r}",
    )
