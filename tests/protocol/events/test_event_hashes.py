"""How events are hashed and signed, and what their IDs are made of.

Rules: the test vectors come out byte by byte, and a reference library verifies what
we sign. An event keeps its content hash only while nothing that it covers changes.
"""

from hashlib import sha256

import canonicaljson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.protocol.canonical_json import Json, as_object, encode_base64
from homeserver.protocol.events.event import (
    Event,
    content_hash,
    event_id,
    hash_and_sign,
    redact,
)
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.event_forms import LENIENT, VERSIONS, pdu_of, versions
from tests.support.event_members import KEPT_CONTENT, json_objects
from tests.support.signing_vectors import DOMAIN, KEY
from tests.support.tables import cases

# Test vectors of the specification (E1, E2), and two that an independent program made.
E1: Json = {
    "room_id": "!x:domain",
    "sender": "@a:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "signatures": {},
    "hashes": {},
    "type": "X",
    "content": {},
    "prev_events": [],
    "auth_events": [],
    "depth": 3,
    "unsigned": {"age_ts": 1000000},
}
E2: Json = {
    "content": {"body": "Here is the message content"},
    "event_id": "$0:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "type": "m.room.message",
    "room_id": "!r:domain",
    "sender": "@u:domain",
    "signatures": {},
    "unsigned": {"age_ts": 1000000},
}
E3: Json = {
    "room_id": "!x:domain",
    "sender": "@a:domain",
    "origin_server_ts": 1000000,
    "type": "m.room.message",
    "content": {"body": "0"},
    "prev_events": [],
    "auth_events": [],
    "depth": 3,
}
E4: Json = {
    "auth_events": [],
    "content": {"room_version": "12"},
    "depth": 1,
    "origin_server_ts": 1000000,
    "prev_events": [],
    "sender": "@a:domain",
    "state_key": "",
    "type": "m.room.create",
}

HASHES: list[tuple[str, Json, str]] = [
    ("E1", E1, "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"),
    ("E2", E2, "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"),
    ("E3", E3, "sLT7BrStcKxuvUqY84PB8cOYaw9Te1/jGUUaWiyoync"),
    ("E4", E4, "ccqBumrNf46eCfIkdZSYW9RNafS0xFYYDm5rnZBSVJU"),
]


@cases("pdu expected", HASHES)
def test_content_hash_of_the_vectors(pdu: Json, expected: str) -> None:
    """The content hash of a test vector is the one it states."""
    assert encode_base64(content_hash(pdu)) == expected


SIGNATURES: list[tuple[str, Json, list[str], str]] = [
    (
        "E1",
        E1,
        versions(1, 10),
        (
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOo"
            "MszkwsQma+lYAg"
        ),
    ),
    (
        "E1",
        E1,
        versions(11, 12),
        (
            "Jxp+1glFcZM+nnHpY0EkedRR7u0VmKsJYGnQqIvqus3UvL5X/p1y6wSkLhGoTBel6MZ9lrMI"
            "zUqrjqFquWJKBw"
        ),
    ),
    (
        "E2",
        E2,
        versions(1, 10),
        (
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMG"
            "CA5McEiVPdhzBA"
        ),
    ),
    (
        "E3",
        E3,
        versions(3, 12),
        (
            "XIyflOBHW8UqSmWBNbHqMpY4ioG0IbPs2oKNWI04u3hseqIFd9E6sufF08kVZ0QfK2A7U7HA"
            "JbfPd41S1XI1Ag"
        ),
    ),
    (
        "E4",
        E4,
        ["12"],
        (
            "0iTJ32BZFymf41Y7UBttP2wZ0JTo6UjsLDQuf+79LB+WeKVfoLyR2I8RF23ZdFgCuxtjVBl5"
            "MKXIOWP+ocELDw"
        ),
    ),
]


@pytest.mark.parametrize(
    ("pdu", "version", "expected"),
    [(pdu, version, sig) for _, pdu, those, sig in SIGNATURES for version in those],
    ids=[
        f"{name} in {version}" for name, _, those, _ in SIGNATURES for version in those
    ],
)
def test_signature_of_the_vectors(pdu: Json, version: str, expected: str) -> None:
    """The signature of a test vector is the one it states for the room version."""
    signed = hash_and_sign(pdu, ROOM_VERSIONS[version], DOMAIN, [KEY])
    assert signed["signatures"] == {"domain": {"ed25519:1": expected}}


IDS: list[tuple[str, Json, list[str], str]] = [
    ("E1", E1, versions(3, 10), "$8yif6p8EqgoSten2BLje9ntKm720NyFLWQv9tn8memc"),
    ("E1", E1, versions(11, 12), "$70O_oKlXzFbkfu0KE88USi98DjSWrOELrPj-8tisl8I"),
    ("E2", E2, versions(1, 2), "$0:domain"),
    ("E3", E3, ["3"], "$WQ8+mDM4bNa4bE3qGw+MqQQJCQC/SetSm/uOsIx+tdY"),
    ("E3", E3, versions(4, 12), "$WQ8-mDM4bNa4bE3qGw-MqQQJCQC_SetSm_uOsIx-tdY"),
    ("E4", E4, ["12"], "$P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM"),
]


@pytest.mark.parametrize(
    ("pdu", "version", "expected"),
    [(pdu, version, own_id) for _, pdu, those, own_id in IDS for version in those],
    ids=[f"{name} in {version}" for name, _, those, _ in IDS for version in those],
)
def test_event_id_of_the_vectors(pdu: Json, version: str, expected: str) -> None:
    """The ID of a test vector is the one it states for the room version."""
    room_version = ROOM_VERSIONS[version]
    signed = hash_and_sign(pdu, room_version, DOMAIN, [KEY])
    assert event_id(signed, room_version) == expected


def test_create_event_of_version_12_has_the_room_id_of_its_hash() -> None:
    """A create event of version 12 has its own ID, with another sigil, as room ID."""
    signed = hash_and_sign(E4, ROOM_VERSIONS["12"], DOMAIN, [KEY])
    event = Event.parse(signed, ROOM_VERSIONS["12"])
    assert event.event_id == "$P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM"
    assert event.room_id == "!P5-6WTYQ_woy6f4nmleE0XqxjtZcyKGza5_gDN-KAdM"


@pytest.mark.parametrize("left_out", ["signatures", "unsigned"])
def test_reference_hash_leaves_out(left_out: str) -> None:
    """Neither signatures nor unsigned data change an event's reference hash."""
    changed = E3 | {left_out: {"a": "b"}}
    assert event_id(changed, ROOM_VERSIONS["12"]) == event_id(E3, ROOM_VERSIONS["12"])


def test_reference_hash_covers_the_content_hash() -> None:
    """A change of the content hash changes the reference hash."""
    changed = E3 | {"hashes": {"sha256": "a"}}
    assert event_id(changed, ROOM_VERSIONS["12"]) != event_id(E3, ROOM_VERSIONS["12"])


def test_hash_and_sign_keeps_the_signatures_of_others() -> None:
    """Signing adds to the signatures that a PDU has, and changes nothing else."""
    pdu = E3 | {"signatures": {"b.example": {"ed25519:b": "c"}}, "unsigned": {"age": 1}}
    signed = hash_and_sign(pdu, ROOM_VERSIONS["12"], DOMAIN, [KEY])
    signatures = as_object(signed["signatures"], "signatures")
    assert signatures.pop("b.example") == {"ed25519:b": "c"}
    own = as_object(signatures["domain"], "domain")
    assert list(own) == ["ed25519:1"]
    hashes = {"sha256": "sLT7BrStcKxuvUqY84PB8cOYaw9Te1/jGUUaWiyoync"}
    assert signed == pdu | {"hashes": hashes, "signatures": {"domain": own}}


@given(
    version=st.sampled_from(VERSIONS),
    kind=st.sampled_from([row[0] for row in KEPT_CONTENT]),
    content=json_objects,
)
@settings(deadline=None)
def test_signedjson_verifies_what_we_sign(
    version: str, kind: str, content: Json
) -> None:
    """The reference library verifies our signature of the redacted event."""
    room_version = ROOM_VERSIONS[version]
    pdu = E1 | {"type": kind, "content": content}
    signed = hash_and_sign(pdu, room_version, DOMAIN, [KEY])
    verify_key = decode_verify_key_bytes("ed25519:1", KEY.verify_key.key)
    verify_signed_json(redact(signed, room_version), "domain", verify_key)


@pytest.mark.parametrize("version", LENIENT)
def test_floats_are_hashed_and_signed_as_they_are_written(version: str) -> None:
    """What the servers of an old room hash and sign has floats as canonicaljson's."""
    pdu = pdu_of(
        version, {"type": "m.room.power_levels", "content": {"ban": 1e30, "kick": 1e-7}}
    )
    hashed = {k: v for k, v in pdu.items() if k not in {"hashes", "signatures"}}
    digest = sha256(canonicaljson.encode_canonical_json(hashed)).digest()
    pdu["hashes"] = {"sha256": encode_base64(digest)}
    event = Event.parse(pdu, ROOM_VERSIONS[version])
    signed = {k: v for k, v in pdu.items() if k != "signatures"}
    assert event.content_hash_matches
    assert event.encoded == canonicaljson.encode_canonical_json(pdu)
    assert event.signed == canonicaljson.encode_canonical_json(signed)


SIGNED = hash_and_sign(pdu_of("12"), ROOM_VERSIONS["12"], DOMAIN, [KEY])
SHA256 = encode_base64(content_hash(SIGNED))

CHANGES: list[tuple[str, Json]] = [
    ("nothing", {}),
    ("signatures", {"signatures": {}}),
    ("unsigned data", {"unsigned": {"age": 1}}),
    ("padding of the hash", {"hashes": {"sha256": SHA256 + "="}}),
    ("another algorithm's hash", {"hashes": {"sha256": SHA256, "sha512": "a"}}),
]


@cases("changes", CHANGES)
def test_an_unchanged_event_has_its_content_hash(changes: Json) -> None:
    """An event keeps its content hash when what the hash leaves out changes."""
    assert Event.parse(SIGNED | changes, ROOM_VERSIONS["12"]).content_hash_matches


FALSE_CHANGES: list[tuple[str, Json]] = [
    ("content", {"content": {"membership": "leave"}}),
    ("content that redaction drops", {"content": {"membership": "join", "x": 1}}),
    ("type", {"type": "m.room.name"}),
    ("an unknown member", {"x": None}),
    ("another hash", {"hashes": {"sha256": "A" * 43}}),
    ("an empty hash", {"hashes": {"sha256": ""}}),
    ("a hash with text after it", {"hashes": {"sha256": SHA256 + "AAAA"}}),
    ("a hash that is not base64", {"hashes": {"sha256": "!" + SHA256}}),
]


@cases("changes", FALSE_CHANGES)
def test_a_changed_event_has_not_its_content_hash(changes: Json) -> None:
    """An event does not have its content hash when anything else is changed."""
    event = Event.parse(SIGNED | changes, ROOM_VERSIONS["12"])
    assert not event.content_hash_matches
