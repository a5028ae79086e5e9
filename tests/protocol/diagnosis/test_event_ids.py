"""Which mistake explains an event ID: each mistake, made without our code."""

import base64
import hashlib
import json

import pytest

from homeserver.protocol.diagnosis.event_ids import diagnose_event_id
from homeserver.protocol.diagnosis.hint import CODES
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.slices import run
from tests.support.diagnosed_events import hashed_over, made, redacted, redacted_9
from tests.support.plain_json import Object, canonical, without


def identify(event: Object, claimed: str, version: str = "10") -> list[str]:
    """The codes of the hints on an event ID."""
    found = run(diagnose_event_id(event, ROOM_VERSIONS[version], claimed))
    assert {hint.code for hint in found} <= CODES.keys()
    return [hint.code for hint in found]


def hashed_id(data: bytes) -> str:
    """The event ID of a reference hash over some bytes."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "$" + digest.decode().rstrip("=")


MADE = made(depth=4)
RIGHT_ID = hashed_id(canonical(redacted_9(MADE)))
assert "-" in RIGHT_ID or "_" in RIGHT_ID

IDS = [
    (RIGHT_ID, []),
    (RIGHT_ID + "=", ["id-padded"]),
    (RIGHT_ID + ":them.example", ["id-alphabet"]),
    (RIGHT_ID.replace("-", "+").replace("_", "/"), ["id-alphabet"]),
    (hashed_id(hashed_over(MADE)), ["id-of-content"]),
    (hashed_id(canonical(redacted(MADE))), ["event-redaction"]),
    (
        hashed_id(canonical(without(MADE, "unsigned", "signatures"))),
        ["event-unredacted"],
    ),
    (
        hashed_id(canonical({**redacted_9(MADE), "signatures": MADE["signatures"]})),
        ["event-member-in"],
    ),
    (hashed_id(json.dumps(redacted_9(MADE), sort_keys=True).encode()), ["json-spaces"]),
    (hashed_id(b"?"), ["id-unknown"]),
    ("$x", ["id-unknown"]),
    ("*", ["id-unknown"]),
]


@pytest.mark.parametrize(("claimed", "expected"), IDS)
def test_event_id(claimed: str, expected: list[str]) -> None:
    """How a peer came to another ID of an event."""
    assert identify(MADE, claimed) == expected


def test_event_id_of_old_versions() -> None:
    """In room versions 1 and 2 the event names its ID, and has to."""
    event = made(event_id="$x:them.example")
    assert identify(event, "$x:them.example", "1") == []
    assert identify(event, RIGHT_ID, "1") == ["id-unknown"]
    assert identify(MADE, RIGHT_ID, "2") == ["event-format"]
