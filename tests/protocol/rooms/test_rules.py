"""Each rule of the text decides where it should, under its number in each version."""

from collections.abc import Sequence

import pytest
from msgspec import structs

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import NotAllowed
from tests.protocol.rooms.judged_events import (
    ABSENT,
    Make,
    aliases,
    create,
    foreign,
    levels,
    message,
    redaction,
    topic,
)
from tests.protocol.rooms.membership_rules import MEMBERSHIPS
from tests.protocol.rooms.numbers import NUMBERS
from tests.protocol.rooms.room import ALICE, BART, BOB, CAROL, DAN, INA, OLIVE, Room

YES, NO = True, False


def elsewhere(room: Room) -> Event:
    """A message of a room that has no create event."""
    return room.make("m.room.message", DAN, {}, auth=[], room_id="!x:a.example")


def create_with_a_room_id(room: Room) -> Event:
    """A create event of version 12 that says which room it begins."""
    pdu = {**room.create.pdu, "room_id": room.room_id}
    return structs.replace(room.create, pdu=pdu)


def citing(*keys: str) -> Make:
    """A message whose auth events are those of the state with these types."""

    def make(room: Room) -> Event:
        found = [room.state[(key, "")] for key in keys]
        sender = room.state[("m.room.member", DAN)]
        return room.make("m.room.message", DAN, {}, auth=[*found, sender])

    return make


def citing_messages(room: Room) -> Event:
    """A message of which two auth events are not even state events."""
    auth = [room.make("m.room.message", ALICE, {}) for _ in range(2)]
    return room.make("m.room.message", DAN, {}, auth=auth)


def citing_a_rejected(room: Room) -> Event:
    """A message of which an auth event was rejected."""
    room.rejected.add(room.state[("m.room.power_levels", "")].event_id)
    return room.make("m.room.message", DAN, {})


def citing_another_room(room: Room) -> Event:
    """A message of which an auth event is of another room."""
    elsewhere = room.make("m.room.power_levels", ALICE, {}, "", room_id="!x:a.example")
    found = room.make("m.room.message", DAN, {}).auth_event_ids
    auth = [room.known[x] for x in found if room.known[x].type == "m.room.member"]
    if not room.version.has_hash_room_id:
        auth.append(room.create)
    return room.make("m.room.message", DAN, {}, auth=[*auth, elsewhere])


def of_rejected_create(room: Room) -> Event:
    """A message in a room whose create event was rejected."""
    room.rejected.add(room.create.event_id)
    return room.make("m.room.message", DAN, {})


def of_no_create(room: Room) -> Event:
    """A message whose room ID names what is not a create event."""
    room.create = room.state[("m.room.member", DAN)]
    return room.make("m.room.message", DAN, {}, auth=[room.create])


# What decides, whether it allows, what it decides on; the room versions if not all.
ROWS: list[tuple[str, bool, Make, Sequence[int]]] = [
    ("create.prev_events", False, create(prev_events=["$x"]), range(3, 13)),
    ("create.prev_events", False, create(prev_events=[["$x:y", {}]]), (1, 2)),
    ("create.room_id", False, create(room_id="!r:b.example"), range(1, 12)),
    ("create.room_id", False, create_with_a_room_id, (12,)),
    ("create.version", False, create(content={"room_version": "13"}), ()),
    ("create.version", False, create(content={"room_version": None}), ()),
    ("create.version", False, create(content={"room_version": ["1"]}), ()),
    ("create.creator", False, create(content={"creator": ABSENT}), ()),
    ("create.allow", True, create(content={"creator": ABSENT}), (11, 12)),
    ("create.allow", True, create(content={"room_version": ABSENT}), ()),
    ("create.allow", True, create(content={"additional_creators": 5}), range(1, 12)),
    ("create.allow", True, create(content={"additional_creators": [BOB]}), (12,)),
    ("create.additional", False, create(content={"additional_creators": BOB}), ()),
    ("create.additional", False, create(content={"additional_creators": None}), ()),
    ("create.additional", False, create(content={"additional_creators": ["b"]}), ()),
    ("create.additional", False, create(content={"additional_creators": [5]}), ()),
    ("room_id", False, elsewhere, ()),
    ("room_id", False, of_rejected_create, ()),
    ("room_id", False, of_no_create, ()),
    ("auth.duplicate", False, citing("m.room.power_levels", "m.room.power_levels"), ()),
    ("auth.selection", False, citing("m.room.join_rules"), ()),
    ("auth.selection", False, citing_messages, ()),
    ("auth.selection", False, citing("m.room.create"), (12,)),
    ("auth.rejected", False, citing_a_rejected, ()),
    ("auth.create", False, citing("m.room.power_levels"), ()),
    ("auth.room", False, citing_another_room, ()),
    ("federate", False, foreign(NO, DAN), ()),
    ("federate", False, foreign("yes", DAN), ()),
    ("federate", False, foreign(None, DAN), ()),
    ("allow", True, foreign(NO, ALICE), ()),
    ("allow", True, foreign(YES, DAN), ()),
    ("aliases.key", False, aliases(DAN, None), ()),
    ("aliases.domain", False, aliases(DAN, "a.example"), ()),
    ("aliases.allow", True, aliases(OLIVE, "o.example"), ()),
    ("sender", False, aliases(OLIVE, "o.example"), range(6, 13)),
    ("level", False, aliases(DAN, "d.example"), range(6, 13)),
    *MEMBERSHIPS,
    ("sender", False, message(OLIVE), ()),
    ("sender", False, message(INA), ()),
    ("sender", False, message(BART), ()),
    (
        "third_party_invite",
        True,
        lambda r: r.make("m.room.third_party_invite", DAN, {}, "t"),
        (),
    ),
    (
        "third_party_invite",
        False,
        lambda r: r.levels(invite=1).make("m.room.third_party_invite", DAN, {}, "t"),
        (),
    ),
    ("level", False, topic(DAN), ()),
    ("level", False, lambda r: message(DAN)(r.levels(events_default=1)), ()),
    ("level", False, lambda r: topic(BOB)(r.levels(state_default=51)), ()),
    ("level", False, lambda r: topic(BOB)(r.levels(events={"m.room.topic": 51})), ()),
    ("allow", True, lambda r: topic(DAN)(r.levels(events={"m.room.topic": 0})), ()),
    ("allow", True, topic(BOB), ()),
    ("allow", True, message(DAN), ()),
    ("level", False, lambda r: message(DAN)(r.levels(users_default=-5)), ()),
    ("state_key", False, lambda r: r.make("x.state", ALICE, {}, BOB), ()),
    ("state_key", False, lambda r: r.make("x.state", ALICE, {}, "@"), ()),
    ("allow", True, lambda r: r.make("x.state", BOB, {}, BOB), ()),
    ("allow", True, lambda r: r.make("x.state", BOB, {}, "b@" + BOB), ()),
    ("power.scalars", False, levels(BOB, ban="50"), ()),
    ("power.scalars", False, levels(BOB, invite=[]), ()),
    ("power.entries", False, levels(BOB, events={"x": "5"}), ()),
    ("power.entries", False, levels(BOB, events=[]), ()),
    ("power.entries", False, levels(BOB, notifications={"room": True}), ()),
    ("power.users", False, levels(BOB, users=[]), ()),
    ("power.users", False, levels(BOB, users={"bob": 5}), ()),
    ("power.users", False, levels(BOB, users={BOB: "five"}), ()),
    ("power.users", False, levels(BOB, users={BOB: "50"}), (10, 11, 12)),
    ("power.creators", False, levels(ALICE, users={ALICE: 1}), ()),
    (
        "power.first",
        True,
        lambda r: r.without("m.room.power_levels").new_levels(ALICE, ban=2000),
        (),
    ),
    ("power.levels", False, levels(BOB, kick=51), ()),
    ("power.levels", False, levels(BOB, {"kick": 51}, kick=50), ()),
    ("power.levels", False, levels(BOB, {"kick": 51}, kick=None), ()),
    *(
        ("power.levels", False, levels(BOB, {name: 51}, **{name: 0}), ())
        for name in (
            "users_default",
            "events_default",
            "state_default",
            "ban",
            "redact",
            "kick",
            "invite",
        )
        if name != "state_default"
    ),
    (
        "power.levels",
        False,
        levels(
            BOB,
            {"state_default": 51, "events": {"m.room.power_levels": 50}},
            state_default=50,
        ),
        (),
    ),
    ("power.allow", True, levels(BOB, ban=50, kick=0, invite=50), ()),
    ("power.allow", True, levels(BOB, {"kick": 51}), ()),
    ("power.take_entries", False, levels(BOB, {"events": {"x": 51}}, events={}), ()),
    (
        "power.take_entries",
        False,
        levels(BOB, {"events": {"x": 51}}, events={"x": 5}),
        (),
    ),
    (
        "power.take_entries",
        False,
        levels(BOB, {"notifications": {"room": 51}}, notifications={}),
        range(6, 13),
    ),
    (
        "power.allow",
        True,
        levels(BOB, {"notifications": {"room": 51}}, notifications={}),
        range(1, 6),
    ),
    ("power.give_entries", False, levels(BOB, events={"x": 51}), ()),
    ("power.allow", True, levels(BOB, {"events": {"x": 50}}, events={"y": 50}), ()),
    ("power.take_users", False, levels(BOB, users={BOB: 50, CAROL: 49}), range(1, 13)),
    ("power.allow", True, levels(BOB, users={BOB: 50, CAROL: 50}), (12,)),
    ("power.allow", True, levels(BOB, users={BOB: 49, CAROL: 50}), (12,)),
    ("power.allow", True, levels(BOB, users={CAROL: 50}), (12,)),
    ("power.give_users", False, levels(BOB, users={BOB: 51, CAROL: 50}), (12,)),
    (
        "power.give_users",
        False,
        levels(BOB, users={ALICE: 100, BOB: 50, CAROL: 50, DAN: 51}),
        range(1, 12),
    ),
    ("power.allow", True, levels(ALICE, users={BOB: 50, CAROL: 2**53 - 1}), (12,)),
    ("power.give_users", False, levels(ALICE, users={ALICE: 100, BOB: 101}), (11,)),
    ("redaction.level", True, redaction(BOB, "$x:a.example"), ()),
    ("redaction.own", True, redaction(DAN, "$x:d.example"), ()),
    ("redaction.otherwise", False, redaction(DAN, "$x:a.example"), ()),
    ("redaction.otherwise", False, redaction(DAN, "$x"), ()),
    ("redaction.otherwise", False, redaction(DAN, 5), ()),
    ("allow", True, redaction(DAN, "$x:a.example"), range(3, 13)),
]


def _versions(rule: str, only: Sequence[int]) -> list[str]:
    own = NUMBERS[rule]
    return [x for x in own if not only or int(x) in only]


CASES = [
    pytest.param(version, rule, allowed, make, id=f"{number}-{rule}-{version}")
    for number, (rule, allowed, make, only) in enumerate(ROWS)
    for version in _versions(rule, only)
]


@pytest.mark.parametrize(("version", "rule", "allowed", "make"), CASES)
def test_rule(version: str, rule: str, *, allowed: bool, make: Make) -> None:
    """The rule decides, under the number that it has in the text of the version."""
    room = Room(version)
    event = make(room)
    try:
        verdict, is_allowed = room.check(event).rule, True
    except NotAllowed as refused:
        verdict, is_allowed = refused.rule, False
    assert (verdict, is_allowed) == (NUMBERS[rule][version], allowed)


def test_each_rule_is_asked() -> None:
    """No rule of any version is left out of the cases."""
    asked = {(rule, version) for version, rule, *_ in (x.values for x in CASES)}
    assert asked == {(x, version) for x in NUMBERS for version in NUMBERS[x]}
