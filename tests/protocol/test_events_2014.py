"""Events of the servers of November 2014: `user_id` is who sent them."""

import pytest

from homeserver.protocol.assumptions import assume_room_versions
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events import (
    Event,
    hash_and_sign,
    redact,
)
from homeserver.protocol.room_versions import EVENTS_OF_2014, ROOM_VERSIONS
from homeserver.protocol.signing import parse_signatures, signed_bytes, verify
from tests.inbound.servers import THEM

EVENT: Json = {
    "event_id": "$e:them.example",
    "room_id": "!r:them.example",
    "type": "m.room.history_visibility",
    "user_id": "@a:them.example",
    "state_key": "",
    "content": {"history_visibility": "shared"},
    "membership": "join",
    "origin": "them.example",
    "origin_server_ts": 1_415_000_000_000,
    "depth": 1,
    "prev_events": [["$p:them.example", {"sha256": "AA"}]],
    "auth_events": [],
    "prev_state": [],
}


def signed() -> Json:
    """The event as its server sends it."""
    return hash_and_sign(EVENT, EVENTS_OF_2014, THEM.server_name, [THEM.key])


def test_it_is_read() -> None:
    """An event whose sender is its `user_id` is an event, of room version 1."""
    event = Event.parse(signed(), EVENTS_OF_2014)
    assert str(event.sender) == "@a:them.example"
    assert event.room_version.version == "1"
    assert event.has_its_content_hash
    assert not event.has_hash_id
    message = signed_bytes(redact(event.pdu, EVENTS_OF_2014))
    [name] = event.required_signers
    keys = {THEM.key.key_id: THEM.key.verify_key}
    verify(message, parse_signatures(event.pdu, name), keys, "the event")


def test_redaction_of_that_time() -> None:
    """Redaction keeps `user_id`, and neither `membership` nor the visibility."""
    kept = redact(EVENT, EVENTS_OF_2014)
    assert kept == {
        k: v for k, v in (EVENT | {"content": {}}).items() if k != "membership"
    }


# (name, changes of the event, the recorded version of its room, the first candidate)
CANDIDATES: list[tuple[str, Json, str | None, object]] = [
    ("unknown room", {}, None, EVENTS_OF_2014),
    ("room of version 1", {}, "1", EVENTS_OF_2014),
    ("room of a later version", {}, "2", ROOM_VERSIONS["2"]),
    ("room of today", {}, "12", ROOM_VERSIONS["12"]),
    ("with a sender", {"sender": "@a:them.example"}, None, ROOM_VERSIONS["2"]),
    ("create event", {"type": "m.room.create"}, None, EVENTS_OF_2014),
]


@pytest.mark.parametrize(
    ("changes", "recorded", "first"),
    [row[1:] for row in CANDIDATES],
    ids=[row[0] for row in CANDIDATES],
)
def test_shape_tells(changes: Json, recorded: str | None, first: object) -> None:
    """An event with a `user_id` and no `sender` is of 2014, in rooms of that time."""
    assumed = assume_room_versions(EVENT | changes, recorded, ROOM_VERSIONS["2"])
    assert assumed[0].room_version == first


def test_user_id_is_needed() -> None:
    """What has neither a `sender` nor a `user_id` that is one is no event."""
    for user_id in (5, "a", "@" + "a" * 255 + ":them.example"):
        with pytest.raises(ProtocolError, match=r"user_id|user ID"):
            Event.parse(signed() | {"user_id": user_id}, EVENTS_OF_2014)
