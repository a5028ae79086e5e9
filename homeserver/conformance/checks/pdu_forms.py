"""P: the form of events in a room: numbers, sizes, members and their types.

Rules: each event is hashed and signed with what is wrong with it.
"""

from homeserver.conformance.check import Check, info, must, robustness, should
from homeserver.conformance.fates import (
    STRICT,
    Make,
    Row,
    accepted,
    dropped,
    fate_of,
    shared_room,
    told,
)
from homeserver.conformance.joined_room import JoinedRoom, Place
from homeserver.conformance.outcome import Outcome
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.rooms.building import reference

_SIZES = "Client-server API, Size limits"
_PDUS = "Server-server API, PDUs"
_JSON = "Room version {}, Canonical JSON"

_MAX_BYTES = 65_536
_LARGE_BYTES = 65_000  # below it, however a server counts signatures and `unsigned`
_LONG = "x" * 256  # a byte more than fields may have


def _with(**members: object) -> Make:
    """A message with other members."""

    async def make(joined: JoinedRoom, at: Place) -> Json:
        content: Json = {"msgtype": "m.text", "body": "hello"}
        return await joined.build("m.room.message", content, at=at, **members)

    return make


def _content(**members: object) -> Make:
    return _with(content={"msgtype": "m.text", "body": "hello", **members})


async def _large(joined: JoinedRoom, at: Place) -> Json:
    empty = await joined.message("", at=at)
    size = _LARGE_BYTES - len(encode(empty))
    members = {k: empty[k] for k in ("origin_server_ts", "event_id") if k in empty}
    return await joined.message("x" * size, at=at, **members)


async def _too_large(joined: JoinedRoom, at: Place) -> Json:
    return await joined.message("x" * _MAX_BYTES, at=at)


async def _long_key(joined: JoinedRoom, at: Place) -> Json:
    return await joined.build("org.example.state", {}, _LONG, at=at)


async def _no_sender(joined: JoinedRoom, at: Place) -> Json:
    pdu = await joined.message(at=at)
    del pdu["sender"]
    return joined.sign(pdu)


FORMS: list[Check] = [
    *Row(
        id="P08",
        severity=must,
        section=_JSON,
        rule="An event with a float is dropped.",
        versions=STRICT,
    ).judged(_content(number=1.5), dropped),
    *Row(
        id="P09",
        severity=must,
        section=_JSON,
        rule="An event with an integer beyond 2^53 is dropped.",
        versions=STRICT,
    ).judged(_content(number=2**53), dropped),
    *Row(
        id="P10",
        severity=must,
        section=_SIZES,
        rule="An event of more than 65,536 bytes is dropped.",
    ).judged(_too_large, dropped),
    *Row(
        id="P11",
        severity=must,
        section=_SIZES,
        rule="An event of 65,000 bytes is accepted.",
    ).judged(_large, accepted),
    *Row(
        id="P14",
        severity=must,
        section=_SIZES,
        rule="An event with a type of 256 bytes is dropped.",
    ).judged(_with(type=_LONG), dropped),
    *Row(
        id="P15",
        severity=must,
        section=_SIZES,
        rule="An event with a state key of 256 bytes is dropped.",
    ).judged(_long_key, dropped),
    *Row(
        id="P17",
        severity=info,
        section=_PDUS,
        rule="An event of a negative depth is accepted, or not.",
    ).judged(_with(depth=-1), told),
    *Row(
        id="P22",
        severity=info,
        section="Room version {}, Event IDs",
        rule="An event that has an event_id is accepted, or not.",
        versions=STRICT,
    ).judged(_with(event_id="$given:elsewhere.invalid"), told),
    *Row(
        id="P28",
        severity=robustness,
        section="",
        rule="An event whose content is a text is dropped.",
    ).judged(_with(content="text"), dropped),
    *Row(
        id="P29",
        severity=robustness,
        section="",
        rule="An event whose prev_events are a text is dropped.",
    ).judged(_with(prev_events="text"), dropped),
    *Row(
        id="P30",
        severity=robustness,
        section="",
        rule="An event whose depth is a text is dropped.",
    ).judged(_with(depth="5"), dropped),
    *Row(
        id="P31",
        severity=robustness,
        section="",
        rule="An event without a sender is dropped.",
    ).judged(_no_sender, dropped),
]

_CHAIN = 21


async def _chain(joined: JoinedRoom) -> list[Json]:
    """Messages of ours, one after the other, of which the last one is the only end."""
    place = await joined.place()
    chain: list[Json] = []
    for number in range(_CHAIN):
        chain.append(await joined.message(str(number), at=place))
        place = joined.after(chain[-1])
    await joined.put(*chain[:-1])
    await joined.send(chain[-1])
    return chain


async def _many_previous(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        chain = await _chain(joined)
        place = joined.after(chain[-1])
        cited = [joined.cites(each) for each in chain]
        pdu = await joined.message(at=place, prev_events=cited)
        return dropped(await fate_of(joined, pdu, place))


async def _many_authorizing(t: Target, version: str) -> Outcome:
    async with shared_room(t, version) as joined:
        chain = await _chain(joined)
        place = joined.after(chain[-1])
        cited = [reference(each) for each in joined.state.values()]
        cited += [joined.cites(each) for each in chain]
        pdu = await joined.message(at=place, auth_events=cited[:11])
        return dropped(await fate_of(joined, pdu, place))


MANY = [
    *Row(
        id="P12",
        severity=should,
        section=_PDUS,
        rule="An event with 21 previous events is dropped.",
    ).checks(_many_previous),
    *Row(
        id="P13",
        severity=should,
        section=_PDUS,
        rule="An event with 11 auth events is dropped.",
    ).checks(_many_authorizing),
]
