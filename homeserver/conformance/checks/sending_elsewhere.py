"""O: what else makes the target ask or send: device lists, addresses, our invites.

Rules: as those of `sending`.
"""

from homeserver.conformance.audience import Audience, in_room
from homeserver.conformance.check import (
    CLIENT,
    DNS_ZONE,
    TRUSTED_NAME,
    USER,
    check,
    must,
    should,
)
from homeserver.conformance.checks.discovery_srv import Service, dead, live, served
from homeserver.conformance.invite import asked
from homeserver.conformance.joining import enter
from homeserver.conformance.opened_room import MAKE_JOIN, OpenedRoom
from homeserver.conformance.outcome import NotTestable, Outcome, expect
from homeserver.conformance.setup import SetupFailed
from homeserver.conformance.target import Target
from homeserver.conformance.their_events import keys_of_target
from homeserver.conformance.their_requests import problem_in
from homeserver.http.reply import json_reply
from homeserver.protocol.canonical_json import Json

_DEVICES = "/_matrix/federation/v1/user/devices/"
_UNKNOWN = 41  # the stream ID of an update that never was

_ASKING_SECONDS = 10.0


@check("O10", must, "Server-server API, Device Management", **in_room("6", 3.0))
async def missed_update(t: Target) -> Outcome:
    """After an update of a device list that comes after an unknown one, it asks."""
    keys, joined = await keys_of_target(t), await enter(t, "6")
    user, ours = joined.user_id, joined.ours
    stream_id = _UNKNOWN + 1
    devices: Json = {
        "user_id": user,
        "stream_id": stream_id,
        "devices": [{"device_id": "DEVICE"}],
    }
    reply = json_reply(devices)
    t.instruct(ours, answers={f"{_DEVICES}{{userId}}": lambda _: reply})
    content: Json = {
        "user_id": user,
        "device_id": "DEVICE",
        "stream_id": stream_id,
        "prev_id": [_UNKNOWN],
    }
    edu = {"edu_type": "m.device_list_update", "content": content}
    taken = await joined.put(edus=[edu])
    found = await t.until(lambda: t.seen(ours).at(_DEVICES, "GET"), _ASKING_SECONDS)
    problem = problem_in(found[0], t.name, keys) if found else None
    return expect(
        bool(found) and problem is None,
        taken,
        problem or f"{len(found)} requests for the devices",
        wanted="a request for the user's devices that verifies",
    )


@check(
    "O15",
    should,
    "RFC 2782",
    needs=[*in_room("6")["needs"], DNS_ZONE],
    after=["J20.v6", "O01"],
)
async def third_address(t: Target) -> Outcome:
    """Where two of three addresses refuse, transactions are sent to the third."""
    services = [Service(dead(t), 10), Service(dead(t), 20), Service(live(t), 30)]
    audience = await Audience.of(t, "6", served(t, services))
    newcomer = await audience.newcomer()
    found = await audience.told(newcomer.join.event_id)
    return expect(
        bool(found),
        f"{len(audience.sent)} transactions",
        t.seen(audience.ours),
        wanted="a transaction with the join of another server",
    )


@check(
    "O14",
    must,
    "Server-server API, Joining Rooms",
    needs=[TRUSTED_NAME, USER, CLIENT],
    after=["I01.v10"],
)
async def accepted_invite(t: Target) -> Outcome:
    """A user that accepts our invite joins by a sound join of the template."""
    keys = await keys_of_target(t)
    invite, reply = await asked(t, "10")
    if not reply.is_ok:
        raise NotTestable(f"the target refuses a sound invite: {reply}")
    opened = OpenedRoom(t, invite)
    try:
        await opened.let_join()
    except SetupFailed as problem:
        if not opened.seen(MAKE_JOIN, "GET"):
            raise NotTestable(f"--setup: {problem}") from None
    problems = opened.problems(keys)
    return expect(
        not problems,
        *(problems or ["a sound join"]),
        wanted="signed requests, and the template's event, hashed and signed",
    )
