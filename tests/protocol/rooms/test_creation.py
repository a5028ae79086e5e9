"""A room begins with events that its version allows, one after the other."""

import nacl.signing
import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, KeyId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.authorization import check_state_independent
from homeserver.protocol.rooms.building import Place, build_pdu, check_own, sign_event
from homeserver.protocol.rooms.creation import (
    build_create,
    default_levels,
    opening_events,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateKey, key_of
from homeserver.protocol.signing import SigningKey

VERSIONS = list(ROOM_VERSIONS)
KEY = SigningKey(KeyId("ed25519:1"), nacl.signing.SigningKey(b"a" * 32))
A = ServerName.parse("a.example")
ALICE = UserId.parse("@alice:a.example")
ROOM = RoomId("!room:a.example")


def create_in(version: str, content: Json | None = None) -> Event:
    """The create event of a room of a version."""
    room_version = ROOM_VERSIONS[version]
    event_id = EventId("$0:a.example") if version in {"1", "2"} else None
    ids = None if version == "12" else (ROOM, event_id)
    pdu = build_create(ALICE, room_version, 1000, content, ids)
    return sign_event(pdu, room_version, A, [KEY])


@pytest.mark.parametrize("version", VERSIONS)
def test_create(version: str) -> None:
    """The create event is allowed, and says what its version wants to know."""
    event = create_in(version)
    assert check_state_independent(event, CitedEvents((), None)) is not None
    assert (event.depth, event.state_key) == (1, "")
    assert (event.prev_event_ids, event.auth_event_ids) == ((), ())
    assert event.content["room_version"] == version
    assert ("creator" in event.content) is (int(version) < 11)
    assert event.content.get("creator", ALICE.user_id) == ALICE.user_id


def test_the_room_id_of_version_12() -> None:
    """It is the hash of the create event, which has none."""
    event = create_in("12")
    assert "room_id" not in event.pdu
    assert event.room_id == "!" + event.event_id[1:]
    assert create_in("11").room_id == ROOM


def test_additional_creators() -> None:
    """Version 12 names each further creator once, and not the sender again."""
    more: Json = {"additional_creators": ["@b:b", ALICE.user_id, "@c:c", "@b:b"]}
    assert create_in("12", more).content["additional_creators"] == ["@b:b", "@c:c"]
    assert create_in("11", more).content["additional_creators"] == [
        "@b:b",
        ALICE.user_id,
        "@c:c",
        "@b:b",
    ]
    assert "additional_creators" not in create_in("12").content


def test_content_of_ones_own() -> None:
    """What is given is kept, but for the version."""
    given: Json = {"m.federate": False, "room_version": "1"}
    event = create_in("12", given)
    assert event.content == {"m.federate": False, "room_version": "12"}
    assert given["room_version"] == "1"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_opening(version: str) -> None:
    """Each event is allowed on those before it, and they make a room."""
    room_version = ROOM_VERSIONS[version]
    last = create_in(version)
    room_id = last.room_id
    state: dict[StateKey, Event] = {("m.room.create", ""): last}
    for number, new in enumerate(opening_events(ALICE, room_version, "public")):
        place = Place(room_version, room_id, [last], state)
        event_id = EventId(f"$e{number}:a.example")
        pdu = build_pdu(new, place, 1001, event_id if version in {"1", "2"} else None)
        check_own(pdu, place)
        last = sign_event(pdu, room_version, A, [KEY])
        key = key_of(last)
        assert key is not None
        state[key] = last
    assert [kind for kind, _ in state] == [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
    ]
    assert state[("m.room.join_rules", "")].content == {"join_rule": "public"}
    assert last.depth == 6


@pytest.mark.parametrize("version", VERSIONS)
def test_default_levels(version: str) -> None:
    """The creator has 100, or in version 12 no entry; an upgrade needs that much."""
    is_12 = version == "12"
    assert default_levels(ALICE, ROOM_VERSIONS[version]) == {
        "users": {} if is_12 else {"@alice:a.example": 100},
        "users_default": 0,
        "events": {
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": 150 if is_12 else 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": 0,
    }


def test_the_first_events() -> None:
    """A room is for the invited unless it is said otherwise, and shows its history."""
    contents = [x.content for x in opening_events(ALICE, ROOM_VERSIONS["12"])]
    assert contents[0] == {"membership": "join"}
    assert contents[2:] == [
        {"join_rule": "invite"},
        {"history_visibility": "shared"},
        {"guest_access": "forbidden"},
    ]
