"""PDUs as servers of 2014 have them, handed over to be sent.

They are signed and named as at that time, or go as they are where servers did not sign
them.
"""

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.signed_requests import US
from tests.support.submissions import FIRST, PDU, SECOND, completed

OF_2014: Json = {
    "event_id": "$e:us.example",
    "type": "m.room.history_visibility",
    "membership": "join",
    "content": {"history_visibility": "shared"},
}


@pytest.mark.parametrize("origin", [None, "other.example"])
def test_pdu_of_2014_is_signed(origin: str | None) -> None:
    """It is signed by the redaction of that time, and has the origin it needs."""
    given = {} if origin is None else {"origin": origin}
    pdu = PDU | OF_2014 | given
    queued = completed(pdu, "2014")
    expected = pdu | {"origin": origin or US.name}
    assert queued["hashes"] == {"sha256": encode_base64(content_hash(expected))}
    assert {k: queued[k] for k in expected} == expected
    assert queued.keys() - expected.keys() == {"hashes", "signatures"}
    kept = {k: v for k, v in queued.items() if k != "membership"} | {"content": {}}
    for key in (FIRST, SECOND):
        reference = decode_verify_key_bytes(key.key_id, key.verify_key.key)
        verify_signed_json(kept, US.name, reference)


def test_pdu_of_2014_gets_an_id() -> None:
    """One without an event ID gets one of ours, the same for the same event."""
    queued = completed(PDU, "2014")
    own_id = str(queued["event_id"])
    assert own_id.endswith(f":{US.name}")
    assert Event.parse(queued, ROOM_VERSIONS["1"]).event_id == own_id
    assert completed(PDU, "2014") == queued
    assert completed(PDU | {"depth": 9}, "2014")["event_id"] != own_id


UNSIGNED_2014: Json = {
    "pdu_id": "x",
    "context": "!r:us.example",
    "pdu_type": "m.room.message",
    "origin": "us.example",
    "content": {},
}


def test_unsigned_pdu_of_2014_goes_as_it_is() -> None:
    """What the servers of that time did not sign is not signed."""
    assert completed(UNSIGNED_2014, "2014") == UNSIGNED_2014


@pytest.mark.parametrize(
    ("changes", "version", "why"),
    [
        (
            {"origin": "other.example"},
            "2014",
            "PDU 0: an unsigned PDU of 2014 is accepted",
        ),
        ({"content": 5}, "2014", "PDU 0: `content` is not a JSON object"),
        ({}, "12", "PDU 0: `depth` is missing"),
    ],
)
def test_bad_pdu_of_2014(changes: Json, version: str, why: str) -> None:
    """One of another server, or of another room version, is refused."""
    with pytest.raises(ProtocolError, match=why):
        completed(UNSIGNED_2014 | changes, version)
