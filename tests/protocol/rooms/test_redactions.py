"""A redaction is applied by who may, within a room, once both events are known."""

from typing import Any

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.redactions import (
    Ground,
    ground_of,
    redacted,
)
from tests.protocol.rooms.room import ALICE, BOB, DAN, Room

VERSIONS = list(ROOM_VERSIONS)
LATER = [x for x in VERSIONS if int(x) >= 3]


def redaction_of(room: Room, target: Event, sender: str, **members: Any) -> Event:
    """A redaction as the room version writes it."""
    if room.version.redacts_in_content:
        content: dict[str, object] = {"redacts": target.event_id}
        return room.make("m.room.redaction", sender, content, **members)
    members = {"redacts": target.event_id, **members}
    return room.make("m.room.redaction", sender, {}, **members)


@pytest.mark.parametrize("version", LATER)
def test_by_power(version: str) -> None:
    """With the redact level, a user redacts what is of any server."""
    room = Room(version)
    target = room.make("m.room.message", DAN, {"body": "x"})
    assert ground_of(redaction_of(room, target, BOB), target, room.state) is (
        Ground.POWER
    )
    room.levels(redact=51)
    assert ground_of(redaction_of(room, target, BOB), target, room.state) is None
    assert ground_of(redaction_of(room, target, ALICE), target, room.state) is (
        Ground.POWER
    )


@pytest.mark.parametrize("version", LATER)
def test_by_server(version: str) -> None:
    """Without it, what is of the redacting user's own server."""
    room = Room(version)
    target = room.make("m.room.message", DAN, {"body": "x"})
    other = redaction_of(room, target, "@eve:d.example")
    assert ground_of(other, target, room.state) is Ground.SAME_SERVER
    foreign = redaction_of(room, target, "@eve:e.example")
    assert ground_of(foreign, target, room.state) is None


@pytest.mark.parametrize("version", ["1", "2"])
def test_by_the_rules(version: str) -> None:
    """In versions 1 and 2 the authorization rules have decided."""
    room = Room(version)
    target = room.make("m.room.message", BOB, {"body": "x"})
    ground = ground_of(redaction_of(room, target, DAN), target, room.state)
    assert ground is Ground.ALLOWED


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_does_not_name(version: str) -> None:
    """Nothing else than what it names, by another type of event, or elsewhere."""
    room = Room(version)
    target = room.make("m.room.message", ALICE, {"body": "x"})
    right = redaction_of(room, target, ALICE)
    assert ground_of(right, target, room.state) is not None
    other = room.make("m.room.message", ALICE, {"body": "y"})
    assert ground_of(right, other, room.state) is None
    elsewhere = redaction_of(room, target, ALICE, room_id="!x:a.example")
    assert ground_of(elsewhere, target, room.state) is None
    message = redaction_of(room, target, ALICE, type="m.room.message")
    assert ground_of(message, target, room.state) is None


def test_redacts_where_another_version_has_it() -> None:
    """What stands in the other place names nothing."""
    new, old = Room("11"), Room("10")
    target = new.make("m.room.message", ALICE, {})
    beside = new.make("m.room.redaction", ALICE, {}, redacts=target.event_id)
    assert ground_of(beside, target, new.state) is None
    target = old.make("m.room.message", ALICE, {})
    inside = old.make("m.room.redaction", ALICE, {"redacts": target.event_id})
    assert ground_of(inside, target, old.state) is None


def test_unreadable_levels_give_no_power() -> None:
    """Levels that cannot be read leave the server as the only ground."""
    room = Room("9").levels(redact="x")
    target = room.make("m.room.message", DAN, {})
    assert ground_of(redaction_of(room, target, ALICE), target, room.state) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_left(version: str) -> None:
    """The redacted event is the same one: it has its ID, and what was signed."""
    room = Room(version)
    target = room.make("m.room.message", DAN, {"body": "x"}, unsigned={"age": 5})
    left = redacted(target)
    assert left.content == {}
    assert "unsigned" not in left.pdu
    assert (left.event_id, left.signed) == (target.event_id, target.signed)
