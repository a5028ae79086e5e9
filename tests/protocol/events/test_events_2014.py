"""Events of the servers of November 2014 that signed them (Synapse 0.5)."""

import canonicaljson
import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event, hash_and_sign, redact
from homeserver.protocol.events.room_versions import EVENTS_OF_2014, ROOM_VERSIONS
from homeserver.protocol.signing import parse_signatures, verify
from tests.support.signed_requests import THEM

EVENT: Json = {
    "event_id": "$e:them.example",
    "room_id": "!r:them.example",
    "type": "m.room.history_visibility",
    "sender": "@a:them.example",
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


def test_it_is_read() -> None:
    """An event of that time is an event of room version 1, with that time's bytes."""
    signed = hash_and_sign(EVENT, EVENTS_OF_2014, THEM.server_name, [THEM.key])
    event = Event.parse(signed, EVENTS_OF_2014)
    assert event.room_version.version == "1"
    assert event.content_hash_matches
    assert not event.id_is_hash
    kept = EVENT | {"content": {}, "hashes": signed["hashes"]}
    del kept["membership"]
    assert event.signed == canonicaljson.encode_canonical_json(kept)
    [name] = event.required_signers
    keys = {THEM.key.key_id: THEM.key.verify_key}
    verify(event.signed, parse_signatures(event.pdu, name), keys, "the event")


# Changes of the event, and whether room version 1 redacts it to the same.
REDACTED: list[tuple[Json, bool]] = [
    ({}, False),
    ({"type": "m.room.message"}, False),
    ({"type": "m.room.history_visibility", "membership": None}, False),
    ({"type": "m.room.message", "membership": None}, True),
    ({"type": "m.room.aliases", "membership": None}, True),
]


@pytest.mark.parametrize(("changes", "is_same"), REDACTED)
def test_redaction_of_that_time(changes: Json, is_same: bool) -> None:  # noqa: FBT001
    """Redaction keeps neither `membership` nor the visibility of a room's history."""
    pdu = {k: v for k, v in (EVENT | changes).items() if v is not None}
    assert (redact(pdu, EVENTS_OF_2014) == redact(pdu, ROOM_VERSIONS["1"])) == is_same
    kept = redact(pdu, EVENTS_OF_2014)
    assert kept == {k: v for k, v in (pdu | {"content": {}}).items() if k in kept}
    assert pdu.keys() - kept.keys() <= {"membership"}
    assert "membership" not in kept
