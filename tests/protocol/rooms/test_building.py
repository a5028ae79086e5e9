"""Events of ours are such as others accept, in each room version."""

import hashlib

import nacl.signing
import pytest

from homeserver.protocol.canonical_json import Json, decode_base64, encode_base64
from homeserver.protocol.errors import BadJson, TooLarge
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, KeyId, ServerName, UserId
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import (
    NewEvent,
    Place,
    build_pdu,
    check_own,
    choose_prev_events,
    reference,
    sign_event,
    unsigned_event,
)
from homeserver.protocol.rooms.switches import Switches
from homeserver.protocol.signing import SigningKey, parse_signatures, verify
from tests.protocol.rooms.room import ALICE, BOB, DAN, OLIVE, Room

VERSIONS = list(ROOM_VERSIONS)
KEY = SigningKey(KeyId("ed25519:1"), nacl.signing.SigningKey(b"d" * 32))
D = ServerName.parse("d.example")
DAN_ID = UserId.parse(DAN)


def place_in(room: Room, *prev: Event) -> Place:
    """Where the next event of a room stands."""
    return Place(room.version, room.room_id, prev or room.last, room.state)


def message(sender: str = DAN) -> NewEvent:
    """A message."""
    return NewEvent("m.room.message", UserId.parse(sender), {"body": "x"})


def own_id(version: str) -> EventId | None:
    """An event ID where the version needs one."""
    return EventId("$own:d.example") if version in {"1", "2"} else None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message(version: str) -> None:
    """It cites what comes before it and what authorises it, and is one deeper."""
    room = Room(version)
    pdu = build_pdu(message(), place_in(room), 77, own_id(version))
    event = sign_event(pdu, room.version, D, [KEY])
    assert event.prev_event_ids == (room.last[0].event_id,)
    assert event.depth == room.last[0].depth + 1
    assert event.origin_server_ts == 77
    assert event.room_id == room.room_id
    assert "state_key" not in pdu
    assert "redacts" not in pdu
    auth = [room.state[("m.room.power_levels", "")], room.state[("m.room.member", DAN)]]
    if version != "12":
        auth.insert(0, room.create)
    assert event.auth_event_ids == tuple(x.event_id for x in auth)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_hashed_and_signed(version: str) -> None:
    """It has its content hash and our signature, which verifies."""
    room = Room(version)
    pdu = build_pdu(message(), place_in(room), 77, own_id(version))
    event = sign_event(pdu, room.version, D, [KEY])
    assert event.content_hash_matches
    keys = {KEY.key_id: KEY.verify_key}
    assert verify(event.signed, parse_signatures(event.pdu, D), keys, "it")
    assert event.required_signers == {D}
    assert room.check(event).why == "no rule refuses it"


@pytest.mark.parametrize("version", VERSIONS)
def test_reference(version: str) -> None:
    """Versions 1 and 2 name an event with its hash, the others by its hash alone."""
    event = Room(version).create
    if version in {"1", "2"}:
        digest = encode_base64(hashlib.sha256(event.signed).digest())
        assert reference(event) == [event.event_id, {"sha256": digest}]
    else:
        assert reference(event) == event.event_id
    if version not in {"1", "2", "3"}:
        text = event.event_id[1:].translate(str.maketrans("-_", "+/"))
        assert decode_base64(text) == hashlib.sha256(event.signed).digest()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redaction(version: str) -> None:
    """What it redacts goes where the room version has it."""
    room = Room(version)
    new = NewEvent("m.room.redaction", DAN_ID, {}, redacts=EventId("$x"))
    pdu = build_pdu(new, place_in(room), 77)
    is_new = version in {"11", "12"}
    assert pdu["content"] == ({"redacts": "$x"} if is_new else {})
    assert ("redacts" in pdu) is not is_new
    assert new.content == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_greatest_depth(version: str) -> None:
    """An event after the deepest one that there can be is as deep as that."""
    room = Room(version)
    most = 2**63 - 1 if int(version) < 6 else 2**53 - 1
    for depth, expected in ((most - 1, most), (most, most)):
        deep = room.make("m.room.message", DAN, {}, depth=depth)
        pdu = build_pdu(message(), place_in(room, deep), 77, own_id(version))
        assert unsigned_event(pdu, room.version).depth == expected


def test_the_deepest_of_those_it_continues_counts() -> None:
    """An event is one deeper than the deepest that it cites."""
    room = Room("12")
    prev = [room.make("m.room.message", DAN, {}, depth=x) for x in (5, 9, 7)]
    assert build_pdu(message(), place_in(room, *prev), 77)["depth"] == 10


def test_the_twenty_deepest_are_continued() -> None:
    """More extremities than an event may cite are left to the next ones."""
    room = Room("12")
    events = [
        room.make("m.room.message", DAN, {}, depth=1 + n // 2, origin_server_ts=n)
        for n in range(22)
    ]
    assert choose_prev_events(events) == events[:1:-1]
    assert choose_prev_events(events[:3]) == [events[2], events[1], events[0]]


@pytest.mark.parametrize("version", VERSIONS)
def test_check_own_allows(version: str) -> None:
    """What the rules allow is allowed before it is signed."""
    room = Room(version)
    pdu = build_pdu(message(), place_in(room), 77)
    assert check_own(pdu, place_in(room)).why == "no rule refuses it"


@pytest.mark.parametrize("version", VERSIONS)
def test_check_own_refuses(version: str) -> None:
    """What others would reject is not allowed."""
    room = Room(version)
    pdu = build_pdu(message(OLIVE), place_in(room), 77)
    with pytest.raises(NotAllowed, match="not in the room"):
        check_own(pdu, place_in(room))


def test_check_own_asks_the_auth_events_and_the_state() -> None:
    """An event has to pass by what it cites, and by the state that it stands on."""
    room = Room("12")
    place = place_in(room)
    pdu = build_pdu(message(), place, 77)
    later = dict(room.member(DAN, "ban", by=ALICE).state)
    ban = later[("m.room.member", DAN)]
    known = {**place.state, ("x", ""): ban}
    uncited: Json = {**pdu, "auth_events": []}
    with pytest.raises(NotAllowed, match="not in the room"):
        check_own(uncited, Place(room.version, room.room_id, place.prev_events, known))
    old = Room("12")
    pdu = build_pdu(message(), place_in(old), 77)
    member = old.state[("m.room.member", DAN)]
    banned = {**old.member(DAN, "ban", by=ALICE).state, ("x", ""): member}
    with pytest.raises(NotAllowed, match="its membership is ban"):
        check_own(pdu, Place(old.version, old.room_id, old.last, banned))


def test_check_own_goes_by_the_switches() -> None:
    """The readings are those of the caller."""
    room = Room("12")
    odd = NewEvent("m.room.member", UserId.parse(ALICE), {"membership": "ban"}, "bob")
    pdu = build_pdu(odd, place_in(room), 77)
    with pytest.raises(NotAllowed):
        check_own(pdu, place_in(room))
    allowing = Switches(member_keys_are_user_ids=False)
    assert check_own(pdu, place_in(room), allowing).rule == "5.6.2"


LEVELS: list[Json] = [
    {"ban": "50"},
    {"users_default": True},
    {"users": {ALICE: "100"}},
    {"events": {"x": "5"}},
    {"notifications": {"room": "50"}},
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("content", LEVELS)
def test_levels_of_ours_are_integers(version: str, content: Json) -> None:
    """Also in versions whose rules take strings from others."""
    room = Room(version).without("m.room.power_levels")
    new = NewEvent("m.room.power_levels", UserId.parse(ALICE), content, "")
    with pytest.raises(BadJson, match="is not a power level"):
        check_own(build_pdu(new, place_in(room), 77), place_in(room))
    whole = NewEvent("m.room.power_levels", UserId.parse(ALICE), {"ban": 5}, "")
    allowed = check_own(build_pdu(whole, place_in(room), 77), place_in(room))
    assert allowed.why == "these are the first power levels of the room"
    other = NewEvent("x.levels", UserId.parse(ALICE), content, "")
    room.levels()
    check_own(build_pdu(other, place_in(room), 77), place_in(room))


def test_what_is_too_large_is_not_made() -> None:
    """An event has its size checked when it is signed, and when it is checked."""
    room = Room("12")
    large = NewEvent("m.room.message", DAN_ID, {"body": "x" * 65536})
    pdu = build_pdu(large, place_in(room), 77)
    with pytest.raises(TooLarge):
        check_own(pdu, place_in(room))
    with pytest.raises(TooLarge):
        sign_event(pdu, room.version, D, [KEY])


def test_twenty_one_are_too_many() -> None:
    """What an event continues is chosen before; too many are refused."""
    room = Room("12")
    prev = [room.make("m.room.message", DAN, {}) for _ in range(21)]
    pdu = build_pdu(message(), place_in(room, *prev), 77)
    with pytest.raises(BadJson, match="21 entries"):
        unsigned_event(pdu, room.version)


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_id_of_ones_own(version: str) -> None:
    """In versions 1 and 2 an event has the ID that its sender gave it."""
    room = Room(version)
    pdu = build_pdu(message(BOB), place_in(room), 77, EventId("$own:b.example"))
    assert unsigned_event(pdu, room.version).event_id == "$own:b.example"
    del pdu["event_id"]
    assert unsigned_event(pdu, room.version).event_id == "$unsigned:b.example"
    with pytest.raises(BadJson):
        sign_event(pdu, room.version, ServerName.parse("b.example"), [KEY])
