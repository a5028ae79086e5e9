"""Events that were hashed and signed otherwise, and the hints on them."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import nacl.signing

from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.diagnosis.events import diagnose_event
from homeserver.protocol.diagnosis.hint import CODES, Hint
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.slices import run
from tests.support.plain_json import Object, canonical, without

THEM = ServerName.parse("them.example")
SEED = nacl.signing.SigningKey(b"1" * 32)
OTHER_SEED = nacl.signing.SigningKey(b"2" * 32)
KEY = CandidateKey(VerifyKey(KeyId("ed25519:a"), bytes(SEED.verify_key)))

Write = Callable[[Object], bytes]

EVENT: Object = {
    "type": "m.room.member",
    "room_id": "!r:them.example",
    "sender": "@a:them.example",
    "state_key": "@a:them.example",
    "content": {
        "membership": "join",
        "displayname": "Grüße",
        "join_authorised_via_users_server": "@b:them.example",
    },
    "origin_server_ts": 1_700_000_000_000,
    "depth": 3,
    "prev_events": [],
    "auth_events": [],
    "unsigned": {"age": 4},
    "age_ts": 5,
}

KEPT = frozenset(
    [
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "hashes",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
        "event_id",
    ]
)


def unpadded(data: bytes) -> str:
    """Unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def redacted(event: Object, content: Iterable[str] = ("membership",)) -> Object:
    """The redacted event, with these members of its content."""
    kept = {k: v for k, v in event.items() if k in KEPT}
    return {**kept, "content": {k: event["content"][k] for k in content}}


def redacted_9(event: Object) -> Object:
    """The redaction of room versions 9 and later."""
    return redacted(event, ("membership", "join_authorised_via_users_server"))


def hashed_over(event: Object) -> bytes:
    """What the content hash is over."""
    return canonical(without(event, "unsigned", "signatures", "hashes"))


def made(
    hashed: Write = hashed_over,
    signed: Write = lambda event: canonical(redacted_9(event)),
    event: Object = EVENT,
    **more: Any,
) -> Object:
    """An event whose hash and signature are over what these functions return."""
    event = {**event, **more}
    event["hashes"] = {"sha256": unpadded(hashlib.sha256(hashed(event)).digest())}
    signature = unpadded(SEED.sign(signed(event)).signature)
    return {**event, "signatures": {"them.example": {"ed25519:a": signature}}}


def diagnose(
    event: Object, version: str = "10", keys: list[CandidateKey] | None = None
) -> list[Hint]:
    """The hints on an event."""
    candidates = [KEY] if keys is None else keys
    found = run(diagnose_event(event, ROOM_VERSIONS[version], {THEM: candidates}))
    assert {hint.code for hint in found} <= CODES.keys()
    return found


def codes(event: Object, version: str = "10") -> list[str]:
    """The codes of `diagnose`."""
    return [hint.code for hint in diagnose(event, version)]
