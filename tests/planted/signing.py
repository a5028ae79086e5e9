"""What the planted homeserver signs, right or with one mistake.

Rules: nothing of `homeserver` is imported, so that no mistake is shared.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from nacl.signing import SigningKey

Object = dict[str, Any]


def canonical(value: object) -> bytes:
    """Canonical JSON."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def unpadded(data: bytes) -> str:
    """Unpadded base64."""
    return base64.b64encode(data).decode().rstrip("=")


def urlsafe(data: bytes) -> str:
    """Unpadded base64 in the URL-safe alphabet."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def without(value: Object, *names: str) -> Object:
    """A copy without some members."""
    return {k: v for k, v in value.items() if k not in names}


Change = Callable[[Object], Object]
Write = Callable[[Object], bytes]

_CHANGES: dict[str, Change] = {
    "path-decoded": lambda r: {**r, "uri": unquote(r["uri"])},
    "query-left-out": lambda r: {**r, "uri": r["uri"].partition("?")[0]},
    "slash-added": lambda r: {**r, "uri": r["uri"].replace("?", "/?")},
    "url-signed": lambda r: {**r, "uri": f"https://{r['destination']}{r['uri']}"},
    "prefix-left-out": lambda r: {
        **r,
        "uri": r["uri"].removeprefix("/_matrix/federation/v1"),
    },
    "method-small": lambda r: {**r, "method": r["method"].lower()},
    "destination-unsigned": lambda r: without(r, "destination"),
    "destination-port": lambda r: {**r, "destination": r["destination"] + ":8448"},
    "origin-unsigned": lambda r: without(r, "origin"),
    "names-exchanged": lambda r: {
        **r,
        "origin": r["destination"],
        "destination": r["origin"],
    },
    "content-left-out": lambda r: without(r, "content"),
    "content-string": lambda r: {**r, "content": canonical(r.get("content")).decode()},
    "content-empty": lambda r: {**r, "content": {}},
}

_FORMS: dict[str, Write] = {
    "content-alone": lambda r: canonical(r.get("content")),
    "json-spaces": lambda r: json.dumps(r, sort_keys=True, ensure_ascii=False).encode(),
    "json-unsorted": lambda r: json.dumps(
        r, separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "json-escapes": lambda r: json.dumps(
        r, sort_keys=True, separators=(",", ":")
    ).encode(),
    "digest-signed": lambda r: hashlib.sha256(canonical(r)).digest(),
}


def request_message(request: Object, faults: frozenset[str]) -> bytes:
    """The bytes that are signed of a request."""
    for fault in sorted(faults & _CHANGES.keys()):
        request = _CHANGES[fault](request)
    for fault in faults & _FORMS.keys():
        return _FORMS[fault](request)
    return canonical(request)


_KEPT = {
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
}
_KEPT_CONTENT = {
    "m.room.create": {"creator"},
    "m.room.member": {"membership", "join_authorised_via_users_server"},
}


def redacted(event: Object, faults: frozenset[str] = frozenset()) -> Object:
    """The redaction of room version 10, of the events that are sent here."""
    kept_content = _KEPT_CONTENT.get(event["type"], set())
    if "redaction-of-8" in faults:
        kept_content = kept_content - {"join_authorised_via_users_server"}
    kept = {k: v for k, v in event.items() if k in _KEPT}
    content = {k: v for k, v in event["content"].items() if k in kept_content}
    return {**kept, "content": content}


def sign_event(
    event: Object, name: str, key_id: str, key: SigningKey, faults: frozenset[str]
) -> Object:
    """The event with its content hash and its signature."""
    left_out = ["signatures", "hashes", "unsigned"]
    if "hash-with-unsigned" in faults:
        left_out.remove("unsigned")
    digest = hashlib.sha256(canonical(without(event, *left_out))).digest()
    if "hash-wrong" in faults:
        digest = bytes(32)
    hashed = {**event, "hashes": {"sha256": unpadded(digest)}}
    signed = redacted(hashed, faults)
    if "unredacted-signed" in faults:
        signed = without(hashed, "signatures", "unsigned")
    if "unsigned-signed" in faults:
        signed["unsigned"] = hashed["unsigned"]
    if "hashes-unsigned" in faults:
        del signed["hashes"]
    signature = key.sign(canonical(signed)).signature
    return {**hashed, "signatures": {name: {key_id: unpadded(signature)}}}


def event_id(event: Object, faults: frozenset[str]) -> str:
    """The ID of an event of room versions 4 and later."""
    signed = redacted(event)
    if "id-of-unredacted" in faults:
        signed = without(event, "signatures", "unsigned")
    digest = hashlib.sha256(canonical(signed)).digest()
    if "id-standard" in faults:
        return "$" + unpadded(digest)
    return "$" + urlsafe(digest) + ("=" if "id-padded" in faults else "")
