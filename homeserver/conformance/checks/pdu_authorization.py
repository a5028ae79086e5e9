"""P: the authorization rules, applied to events of a user without power.

Rules: nothing here would harm the room of a target that accepts what it must not.
"""

from homeserver.conformance.check import Check, info, must, should
from homeserver.conformance.fates import (
    Make,
    Row,
    accepted,
    fate_of,
    rejected,
    shared_room,
    told,
)
from homeserver.conformance.joined_room import JoinedRoom, Place
from homeserver.conformance.joining import enter
from homeserver.conformance.membership_requests import make, put, sign
from homeserver.conformance.outcome import NotTestable, Outcome
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.building import reference
from homeserver.protocol.rooms.state import CREATE, JOIN_RULES, POWER_LEVELS, StateKey

_RULES = "Room version {}, Authorisation rules"
_PDUS = "Server-server API, PDUs"

_STRANGER = "@nobody:elsewhere.invalid"


def _state(kind: str, content: Json, key: str = "") -> Make:
    async def build(joined: JoinedRoom, at: Place) -> Json:
        return await joined.build(kind, content, key, at=at)

    return build


async def _outsider(joined: JoinedRoom, at: Place) -> Json:
    sender = f"@outsider:{joined.ours.name}"
    keys = auth_keys("m.room.message", sender, None, {}, joined.version)
    cited = [reference(each) for each in select_auth_events(keys, joined.state)]
    return await joined.message(at=at, sender=sender, auth_events=cited)


async def _more_power(joined: JoinedRoom, at: Place) -> Json:
    levels = _in_state(joined, POWER_LEVELS).content
    users = levels.get("users")
    changed = {**(users if isinstance(users, dict) else {}), _STRANGER: 1}
    content = {**levels, "users": changed}
    return await joined.build("m.room.power_levels", content, "", at=at)


async def _without_levels(joined: JoinedRoom, at: Place) -> Json:
    pdu = await joined.message(at=at)
    levels = reference(_in_state(joined, POWER_LEVELS))
    cited = [each for each in _cited(pdu) if each != levels]
    return joined.sign({**pdu, "auth_events": cited})


async def _cited_twice(joined: JoinedRoom, at: Place) -> Json:
    pdu = await joined.message(at=at)
    cited = _cited(pdu)
    return joined.sign({**pdu, "auth_events": [*cited, cited[-1]]})


def _citing(key: StateKey) -> Make:
    """A message that cites an event of the state which does not belong there."""

    async def build(joined: JoinedRoom, at: Place) -> Json:
        pdu = await joined.message(at=at)
        cited = [*_cited(pdu), reference(_in_state(joined, key))]
        return joined.sign({**pdu, "auth_events": cited})

    return build


def _in_state(joined: JoinedRoom, key: StateKey) -> Event:
    found = joined.state.get(key)
    if found is None:
        raise NotTestable(f"the state of the room has no {key[0]}")
    return found


def _cited(pdu: Json) -> list[object]:
    found = pdu["auth_events"]
    return found if isinstance(found, list) else []


async def _second_create(joined: JoinedRoom, at: Place) -> Json:
    content = _in_state(joined, CREATE).content
    return await joined.build("m.room.create", content, "", at=at)


RULES: list[Check] = [
    *Row(
        id="P06",
        severity=must,
        section=_RULES,
        rule="An event of a user who is not in the room is rejected.",
    ).judged(_outsider, rejected),
    *Row(
        id="P07",
        severity=must,
        section=_RULES,
        rule="A state event of a user without the power for it is rejected.",
    ).judged(_state("org.example.state", {"by": "ours"}), rejected),
    *Row(
        id="P16",
        severity=must,
        section=_RULES,
        rule="A second create event is rejected.",
        # In version 12 it would be the first one of another room.
        versions=("1", "6", "10"),
    ).judged(_second_create, rejected),
    *Row(
        id="P18",
        severity=info,
        section=_PDUS,
        rule="An event that cites no power levels is accepted, or not.",
    ).judged(_without_levels, told),
    *Row(
        id="P19",
        severity=must,
        section=_RULES,
        rule="An event that cites an auth event twice is rejected.",
    ).judged(_cited_twice, rejected),
    *Row(
        id="P20",
        severity=must,
        section=_RULES,
        rule="An event that cites an auth event of no use is rejected.",
    ).judged(_citing(JOIN_RULES), rejected),
    *Row(
        id="P21",
        severity=must,
        section=_RULES,
        rule="An event that cites the create event is rejected.",
        versions=("12",),
    ).judged(_citing(CREATE), rejected),
    *Row(
        id="P25",
        severity=must,
        section=_RULES,
        rule="A ban by a user without the power for it is rejected.",
    ).judged(_state("m.room.member", {"membership": "ban"}, _STRANGER), rejected),
    *Row(
        id="P26",
        severity=must,
        section=_RULES,
        rule="Power levels of a user without the power for them are rejected.",
    ).judged(_more_power, rejected),
]


async def _display_name(t: Target, version: str) -> Outcome:
    joined = await enter(t, version)
    async with joined.turn():
        place = await joined.place()
        content: Json = {"membership": "join", "displayname": "Ours"}
        pdu = await joined.build("m.room.member", content, joined.user_id, at=place)
        return accepted(await fate_of(joined, pdu, place))


DISPLAY_NAME = Row(
    id="P24",
    severity=must,
    section=_RULES,
    rule="A member's new display name is accepted.",
).checks(_display_name)


async def _redaction(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        own = await joined.message()
        await joined.send(own)
        place, redacts = joined.after(own), joined.id_of(own)
        if joined.version.redacts_in_content:
            content: Json = {"redacts": redacts}
            pdu = await joined.build("m.room.redaction", content, at=place)
        else:
            more = {"redacts": redacts}
            pdu = await joined.build("m.room.redaction", {}, at=place, **more)
        return accepted(await fate_of(joined, pdu, place))


REDACTION = Row(
    id="P27",
    severity=must,
    section="Room version {}, Redactions",
    rule="A user's redaction of an own message is accepted.",
).checks(_redaction)


async def _from_before_leaving(t: Target, version: str) -> Outcome:
    leaver = await enter(t, version)
    async with shared_room(t, version) as joined:
        before = await joined.place()
        pdu = await leaver.message(at=before)
        template = await make(t, leaver.ours, "leave", leaver.room_id)
        left = await put(t, "leave", sign(t, leaver.ours, template))
        if not left.is_ok:
            raise NotTestable(f"our user cannot leave: {left}")
        place = await joined.place()
        return rejected(await fate_of(joined, pdu, place))


SOFT_FAILURE = Row(
    id="P35",
    severity=should,
    section="Server-server API, Soft failure",
    rule="An event of a user who has left, on a branch from before, is no end.",
).checks(_from_before_leaving)
