"""Power levels are read as each room version reads them."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.power_levels import (
    INFINITE,
    Power,
    PowerLevels,
    UnreadableLevel,
    parse_level,
    show,
)
from homeserver.protocol.rooms.versions import rules_of
from tests.protocol.rooms.room import ALICE, BOB, DAN, Room

VERSIONS = list(ROOM_VERSIONS)

# A value, what it is read as, and by which versions; by the others it is not read.
LEVELS: list[tuple[object, int, range]] = [
    (0, 0, range(1, 13)),
    (-5, -5, range(1, 13)),
    (2**53 - 1, 2**53 - 1, range(1, 13)),
    ("50", 50, range(1, 10)),
    ("+050", 50, range(1, 10)),
    ("-7", -7, range(1, 10)),
    ("\u00a0\x0b 50 \n", 50, range(1, 10)),
    (str(2**63 - 1), 2**63 - 1, range(1, 10)),
    ("0" * 39 + "5", 5, range(1, 10)),
    ("0" * 40 + "5", 5, range(0)),
    (str(2**63), 0, range(0)),
    (str(-(2**63)), 0, range(0)),
    ("5_0", 0, range(0)),
    ("\u0665", 0, range(0)),
    ("5.0", 0, range(0)),
    ("+", 0, range(0)),
    ("", 0, range(0)),
    ("+ 5", 0, range(0)),
    (50.9, 50, range(1, 6)),
    (-50.9, -50, range(1, 6)),
    (float("inf"), 0, range(0)),
    (float("nan"), 0, range(0)),
    (True, 0, range(0)),
    (None, 0, range(0)),
    ([50], 0, range(0)),
    ({}, 0, range(0)),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("value", "level", "readers"), LEVELS)
def test_parse_level(version: str, value: object, level: int, readers: range) -> None:
    """A level is read, or it is refused by name."""
    rules = rules_of(ROOM_VERSIONS[version])
    if int(version) in readers:
        assert parse_level(value, rules) == level
        assert type(parse_level(value, rules)) is int
    else:
        with pytest.raises(UnreadableLevel, match="is not a power level"):
            parse_level(value, rules)


def levels_of(version: str, content: Json | None, **create: object) -> PowerLevels:
    """The levels of a room, with an event of that content, or without one."""
    room = Room(version, **create)
    room.set("m.room.power_levels", ALICE, content or {})
    event = None if content is None else room.state[("m.room.power_levels", "")]
    return PowerLevels(event, room.create, rules_of(room.version))


USERS: list[tuple[str, Json | None, str, Power, range]] = [
    ("the creator before any levels", None, ALICE, 100, range(1, 12)),
    ("others before any levels", None, BOB, 0, range(1, 13)),
    ("the creator by the levels", {}, ALICE, 0, range(1, 12)),
    ("a creator of version 12", {"users": {ALICE: 5}}, ALICE, INFINITE, range(12, 13)),
    ("a creator before any levels", None, ALICE, INFINITE, range(12, 13)),
    ("named", {"users": {BOB: 7}, "users_default": 5}, BOB, 7, range(1, 13)),
    ("by default", {"users": {BOB: 7}, "users_default": 5}, DAN, 5, range(1, 13)),
    ("nothing named", {}, DAN, 0, range(1, 13)),
]


@pytest.mark.parametrize(
    ("version", "content", "user", "power"),
    [
        pytest.param(str(version), *row[1:4], id=f"{row[0]} in {version}")
        for row in USERS
        for version in row[4]
    ],
)
def test_power(version: str, content: Json | None, user: str, power: Power) -> None:
    """A user has the power that is named, or the default, or a creator's."""
    assert levels_of(version, content).of(user) == power


@pytest.mark.parametrize("version", VERSIONS)
def test_additional_creators(version: str) -> None:
    """Further creators count in version 12 alone, and are each other's equals."""
    more: Json = {"additional_creators": [BOB, 5]}
    levels = levels_of(version, {"users": {DAN: 2**53 - 1}}, **more)
    assert (levels.of(BOB) == INFINITE) is (version == "12")
    assert (levels.of(BOB) > levels.of(DAN)) is (version == "12")
    assert levels.of(BOB) == levels.of(ALICE)


def test_additional_creators_that_are_no_list() -> None:
    """What is not a list names no creators."""
    levels = levels_of("12", {}, additional_creators=BOB)
    assert (levels.of(ALICE), levels.of(BOB)) == (INFINITE, 0)


def test_no_creator_is_named() -> None:
    """Without a create event, or a creator in it, no user has a creator's power."""
    rules = rules_of(ROOM_VERSIONS["10"])
    assert PowerLevels(None, None, rules).of(ALICE) == 0
    assert levels_of("10", None, creator=5).of(ALICE) == 0
    assert levels_of("10", None, creator=BOB).of(BOB) == 100


REQUIRED: list[tuple[Json | None, bool, int]] = [
    (None, True, 50),
    (None, False, 0),
    ({}, True, 50),
    ({}, False, 0),
    ({"state_default": 7, "events_default": 3}, True, 7),
    ({"state_default": 7, "events_default": 3}, False, 3),
    ({"state_default": 7, "events": {"x": 9}}, True, 9),
    ({"events_default": 7, "events": {"x": 9}}, False, 9),
    ({"events_default": 7, "events": {"y": 9}}, False, 7),
]


@pytest.mark.parametrize(("content", "is_state", "level"), REQUIRED)
def test_required(content: Json | None, *, is_state: bool, level: int) -> None:
    """A type needs its own level, or the default of state events or of others."""
    assert levels_of("12", content).required("x", is_state=is_state) == level


@pytest.mark.parametrize(
    ("action", "default"), [("ban", 50), ("kick", 50), ("redact", 50), ("invite", 0)]
)
def test_actions(action: str, default: int) -> None:
    """An action takes its own level, or its default."""
    assert levels_of("12", None).to(action) == default
    assert levels_of("12", {}).to(action) == default
    assert levels_of("12", {action: 7}).to(action) == 7


@pytest.mark.parametrize("content", [{"users": []}, {"users": {BOB: None}}])
def test_unreadable_users(content: Json) -> None:
    """A user in power levels that cannot be read has no power level."""
    with pytest.raises(UnreadableLevel):
        levels_of("6", content).of(BOB)


@pytest.mark.parametrize("content", [{"events": 5}, {"events": {"x": None}}])
def test_unreadable_events(content: Json) -> None:
    """What needs a level that cannot be read needs none that could be said."""
    with pytest.raises(UnreadableLevel):
        levels_of("6", content).required("x", is_state=True)


def test_show() -> None:
    """A sentence names a number, or that there is no end to it."""
    assert (show(-5), show(INFINITE)) == ("-5", "infinite")
