"""What a PDU must look like, how it is hashed and redacted, and who must sign it."""

from collections.abc import Iterable
from hashlib import sha256

import canonicaljson
import nacl.signing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    decode_base64,
    encode,
    encode_base64,
    encode_urlsafe_base64,
)
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError, TooLarge
from homeserver.protocol.events.event import (
    MAX_EVENT_BYTES,
    Event,
    content_hash,
    event_id,
    hash_and_sign,
    redact,
)
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from tests.support.tables import cases

# The seed of the specification's own test vectors.
SEED = decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
KEY = SigningKey(KeyId("ed25519:1"), nacl.signing.SigningKey(SEED))
DOMAIN = ServerName.parse("domain")

VERSIONS = list(ROOM_VERSIONS)
STRICT = VERSIONS[VERSIONS.index("6") :]
LENIENT = VERSIONS[: VERSIONS.index("6")]


def versions(first: int, last: int) -> list[str]:
    """The names of the room versions from the first to the last one."""
    return [str(number) for number in range(first, last + 1)]


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


def test_create_event_of_version_12_founds_the_room_of_its_hash() -> None:
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


# A PDU with every member that some room version or other lets redaction keep.
ALWAYS_KEPT: Json = {
    "event_id": "$0:a.example",
    "type": "m.example",
    "room_id": "!r:a.example",
    "sender": "@u:a.example",
    "state_key": "",
    "content": {},
    "hashes": {"sha256": "a"},
    "signatures": {"a.example": {"ed25519:1": "b"}},
    "depth": 1,
    "prev_events": [],
    "auth_events": [],
    "origin_server_ts": 1,
}
KEPT_UNTIL_10: Json = {"prev_state": [], "origin": "a.example", "membership": "join"}
NEVER_KEPT: Json = {
    "unsigned": {"age": 1},
    "redacts": "$1:a.example",
    "user_id": "@u:a.example",
    "age_ts": 1,
    "other": 1,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_redaction_of_members(version: str) -> None:
    """Redaction keeps the members of a PDU that the room version lists."""
    kept = ALWAYS_KEPT | (KEPT_UNTIL_10 if version in versions(1, 10) else {})
    pdu = ALWAYS_KEPT | KEPT_UNTIL_10 | NEVER_KEPT
    assert redact(pdu, ROOM_VERSIONS[version]) == kept


# A content with every member that redaction keeps in some type of event or other.
CONTENT: Json = {
    "aliases": ["#a:a.example"],
    "allow": [],
    "ban": 50,
    "creator": "@u:a.example",
    "events": {"m.room.name": 50},
    "events_default": 0,
    "history_visibility": "shared",
    "invite": 0,
    "join_authorised_via_users_server": "@v:b.example",
    "join_rule": "restricted",
    "kick": 50,
    "membership": "invite",
    "notifications": {"room": 50},
    "other": 1,
    "redact": 50,
    "redacts": "$1:a.example",
    "room_version": "12",
    "state_default": 50,
    "third_party_invite": {"display_name": "U", "signed": {"token": "t"}},
    "users": {"@u:a.example": 100},
    "users_default": 0,
}
EVERYTHING = " ".join(CONTENT)
POWER_LEVELS = "ban events events_default kick redact state_default users users_default"

# Event type, first and last room version, the members of `content` that are kept.
KEPT_CONTENT: list[tuple[str, int, int, str]] = [
    ("m.room.member", 1, 8, "membership"),
    ("m.room.member", 9, 10, "membership join_authorised_via_users_server"),
    (
        "m.room.member",
        11,
        12,
        "membership join_authorised_via_users_server third_party_invite",
    ),
    ("m.room.create", 1, 10, "creator"),
    ("m.room.create", 11, 12, EVERYTHING),
    ("m.room.join_rules", 1, 7, "join_rule"),
    ("m.room.join_rules", 8, 12, "join_rule allow"),
    ("m.room.power_levels", 1, 10, POWER_LEVELS),
    ("m.room.power_levels", 11, 12, POWER_LEVELS + " invite"),
    ("m.room.aliases", 1, 5, "aliases"),
    ("m.room.aliases", 6, 12, ""),
    ("m.room.history_visibility", 1, 12, "history_visibility"),
    ("m.room.redaction", 1, 10, ""),
    ("m.room.redaction", 11, 12, "redacts"),
    ("m.room.message", 1, 12, ""),
    ("m.room.third_party_invite", 1, 12, ""),
    ("", 1, 12, ""),
]


@pytest.mark.parametrize(
    ("kind", "version", "members"),
    [
        (kind, version, members)
        for kind, first, last, members in KEPT_CONTENT
        for version in versions(first, last)
    ],
)
def test_redaction_of_content(kind: str, version: str, members: str) -> None:
    """Redaction keeps the members of `content` that the room version lists."""
    kept: Json = {member: CONTENT[member] for member in members.split()}
    if kind == "m.room.member" and "third_party_invite" in kept:
        kept["third_party_invite"] = {"signed": {"token": "t"}}
    redacted = redact({"type": kind, "content": CONTENT}, ROOM_VERSIONS[version])
    assert redacted == {"type": kind, "content": kept}


# `third_party_invite`, and the content that versions 11 and 12 keep of it.
THIRD_PARTY_INVITES: list[tuple[object, Json]] = [
    (
        {"signed": {"token": "t"}, "x": 1},
        {"third_party_invite": {"signed": {"token": "t"}}},
    ),
    ({"signed": None}, {"third_party_invite": {"signed": None}}),
    ({"display_name": "U"}, {"third_party_invite": {}}),
    ({}, {"third_party_invite": {}}),
    ("signed", {}),
    (["signed"], {}),
    (None, {}),
]


@pytest.mark.parametrize(("invite", "kept"), THIRD_PARTY_INVITES)
@pytest.mark.parametrize("version", VERSIONS)
def test_redaction_of_a_third_party_invite(
    version: str, invite: object, kept: Json
) -> None:
    """Versions 11 and 12 keep the object, and of its members `signed` alone."""
    pdu: Json = {"type": "m.room.member", "content": {"third_party_invite": invite}}
    redacted = redact(pdu, ROOM_VERSIONS[version])
    expected = kept if version in versions(11, 12) else {}
    assert redacted == {"type": "m.room.member", "content": expected}


def test_event_id_of_a_third_party_invite_without_signed() -> None:
    """Its ID is the hash of what Synapse and Ruma keep, an empty object included."""
    kept = pdu_of("11", {"content": {"membership": "invite", "third_party_invite": {}}})
    sent = kept | {
        "content": {"membership": "invite", "third_party_invite": {"display_name": "U"}}
    }
    del kept["signatures"]
    digest = sha256(canonicaljson.encode_canonical_json(kept)).digest()
    assert event_id(sent, ROOM_VERSIONS["11"]) == "$" + encode_urlsafe_base64(digest)


@pytest.mark.parametrize(
    "pdu", [{}, {"type": "m.example"}, {"type": 5, "content": {}, "depth": 1}]
)
def test_redaction_takes_what_is_no_event(pdu: Json) -> None:
    """Redaction of an object without a type or a content fails in no way."""
    assert redact(pdu, ROOM_VERSIONS["12"]) == pdu


def test_redaction_changes_no_argument() -> None:
    """Redaction leaves the PDU that it is given as it was."""
    pdu: Json = {"type": "m.room.member", "content": dict(CONTENT), "unsigned": {}}
    redact(pdu, ROOM_VERSIONS["12"])
    assert pdu == {"type": "m.room.member", "content": CONTENT, "unsigned": {}}


@given(pdu=st.dictionaries(st.sampled_from([*ALWAYS_KEPT, "x"]), st.integers()))
@settings(deadline=None)
def test_redaction_of_the_redacted_changes_nothing(pdu: Json) -> None:
    """What is redacted twice is the same as what is redacted once."""
    for version in ROOM_VERSIONS.values():
        once = redact(pdu | {"content": CONTENT}, version)
        assert redact(once, version) == once


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=5)
    | st.sampled_from(["@u:a.example", "!r:a.example", "$0:a.example", "invite"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)
json_objects = st.dictionaries(
    st.sampled_from([*CONTENT, "x"]), json_values, max_size=4
)


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


ABSENT = object()


def pdu_of(version: str, changes: Json | None = None) -> Json:
    """A PDU in the form of a room version, with some members changed or left out."""
    pdu: Json = {
        "type": "m.room.member",
        "sender": "@u:a.example",
        "room_id": "!r:a.example",
        "state_key": "@u:a.example",
        "content": {"membership": "join"},
        "origin_server_ts": 1000000,
        "depth": 3,
        "hashes": {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"},
        "signatures": {},
        "prev_events": ["$prev"],
        "auth_events": ["$auth"],
    }
    if version in {"1", "2"}:
        pdu["event_id"] = "$0:a.example"
        pdu["prev_events"] = [["$prev:a.example", {"sha256": "a"}]]
        pdu["auth_events"] = [["$auth:a.example", {}]]
    pdu |= changes or {}
    return {member: value for member, value in pdu.items() if value is not ABSENT}


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_reads_a_pdu(version: str) -> None:
    """A PDU in its room version's form is read into an event."""
    room_version = ROOM_VERSIONS[version]
    pdu = pdu_of(version)
    event = Event.parse(pdu, room_version)
    assert event.pdu == pdu
    assert event.room_version is room_version
    assert event.event_id == event_id(pdu, room_version)
    assert event.type == "m.room.member"
    assert event.sender.user_id == "@u:a.example"
    assert event.room_id == "!r:a.example"
    assert event.origin_server_ts == 1000000


ALLOWED: list[tuple[str, list[str], Json]] = [
    ("no state key", VERSIONS, {"state_key": ABSENT}),
    ("no unsigned data", VERSIONS, {"unsigned": {}}),
    ("empty texts", VERSIONS, {"state_key": "", "type": ""}),
    ("no references", VERSIONS, {"prev_events": [], "auth_events": []}),
    ("20 previous events", versions(3, 12), {"prev_events": ["$"] * 20}),
    ("20 previous events", versions(1, 2), {"prev_events": [["$", {}]] * 20}),
    ("10 auth events", versions(3, 12), {"auth_events": ["$"] * 10}),
    ("10 auth events", versions(1, 2), {"auth_events": [["$", {}]] * 10}),
    ("unknown members", VERSIONS, {"x": None, "content": {"x": [None, {}]}}),
    ("other hashes", VERSIONS, {"hashes": {"sha256": "", "sha512": 5}}),
    ("historical user ID", VERSIONS, {"sender": "@Ü ber:a.example"}),
    ("room ID of version 12", ["12"], {"room_id": "!" + "x" * 43}),
    ("depth 0", VERSIONS, {"depth": 0}),
    ("largest integer", VERSIONS, {"depth": 2**53 - 1}),
    ("greatest depth", LENIENT, {"depth": 2**63 - 1}),
    ("float", LENIENT, {"content": {"a": 1.5}}),
    ("nested float", LENIENT, {"unsigned": {"a": [{"b": 1e30}]}}),
    ("integer of 54 bits", LENIENT, {"content": {"a": 2**53}}),
    ("negative integer of 54 bits", LENIENT, {"content": {"a": -(2**53)}}),
]


@pytest.mark.parametrize(
    ("version", "changes"),
    [(version, changes) for _, those, changes in ALLOWED for version in those],
    ids=[f"{name} in {version}" for name, those, _ in ALLOWED for version in those],
)
def test_parse_accepts(version: str, changes: Json) -> None:
    """A PDU may have what its room version does not forbid."""
    pdu = pdu_of(version, changes)
    assert Event.parse(pdu, ROOM_VERSIONS[version]).pdu == pdu


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


Malformed = tuple[str, list[str], Json, type[ProtocolError]]

MALFORMED: list[Malformed] = [
    ("no type", VERSIONS, {"type": ABSENT}, BadJson),
    ("type null", VERSIONS, {"type": None}, BadJson),
    ("type a number", VERSIONS, {"type": 5}, BadJson),
    ("no sender", VERSIONS, {"sender": ABSENT}, BadJson),
    ("sender a number", VERSIONS, {"sender": 5}, BadJson),
    ("sender without a server", VERSIONS, {"sender": "@u"}, InvalidParam),
    ("sender of a bad server", VERSIONS, {"sender": "@u:a_b"}, InvalidParam),
    ("sender without a sigil", VERSIONS, {"sender": "u:a.example"}, InvalidParam),
    ("no room ID", VERSIONS, {"room_id": ABSENT}, BadJson),
    ("room ID null", VERSIONS, {"room_id": None}, BadJson),
    ("room ID of another sigil", VERSIONS, {"room_id": "#r:a"}, InvalidParam),
    ("state key null", VERSIONS, {"state_key": None}, BadJson),
    ("no content", VERSIONS, {"content": ABSENT}, BadJson),
    ("content null", VERSIONS, {"content": None}, BadJson),
    ("content a list", VERSIONS, {"content": []}, BadJson),
    ("no signatures", VERSIONS, {"signatures": ABSENT}, BadJson),
    ("signatures a list", VERSIONS, {"signatures": []}, BadJson),
    ("no hashes", VERSIONS, {"hashes": ABSENT}, BadJson),
    ("hashes a list", VERSIONS, {"hashes": []}, BadJson),
    ("no sha256", VERSIONS, {"hashes": {"sha512": "a"}}, BadJson),
    ("sha256 a number", VERSIONS, {"hashes": {"sha256": 5}}, BadJson),
    ("no depth", VERSIONS, {"depth": ABSENT}, BadJson),
    ("depth a string", VERSIONS, {"depth": "3"}, BadJson),
    ("depth a boolean", VERSIONS, {"depth": True}, BadJson),
    ("depth a float", VERSIONS, {"depth": 3.0}, BadJson),
    ("depth negative", VERSIONS, {"depth": -1}, BadJson),
    ("depth of 64 bits", VERSIONS, {"depth": 2**63}, BadJson),
    ("no time", VERSIONS, {"origin_server_ts": ABSENT}, BadJson),
    ("time a string", VERSIONS, {"origin_server_ts": "1"}, BadJson),
    ("no prev_events", VERSIONS, {"prev_events": ABSENT}, BadJson),
    ("prev_events an object", VERSIONS, {"prev_events": {}}, BadJson),
    ("no auth_events", VERSIONS, {"auth_events": ABSENT}, BadJson),
    ("auth_events a string", VERSIONS, {"auth_events": "$a"}, BadJson),
    ("21 prev_events", versions(3, 12), {"prev_events": ["$"] * 21}, BadJson),
    ("21 prev_events", versions(1, 2), {"prev_events": [["$", {}]] * 21}, BadJson),
    ("11 auth_events", versions(3, 12), {"auth_events": ["$"] * 11}, BadJson),
    ("11 auth_events", versions(1, 2), {"auth_events": [["$", {}]] * 11}, BadJson),
    ("pairs", versions(3, 12), {"prev_events": [["$a:b", {}]]}, BadJson),
    ("auth pairs", versions(3, 12), {"auth_events": [["$a:b", {}]]}, BadJson),
    ("plain IDs", versions(1, 2), {"prev_events": ["$a:b"]}, BadJson),
    ("plain auth IDs", versions(1, 2), {"auth_events": ["$a:b"]}, BadJson),
    ("a pair of one", versions(1, 2), {"prev_events": [["$a:b"]]}, BadJson),
    ("a pair of three", versions(1, 2), {"prev_events": [["$", {}, {}]]}, BadJson),
    ("a pair's ID a number", versions(1, 2), {"prev_events": [[5, {}]]}, BadJson),
    ("a pair's hash a text", versions(1, 2), {"prev_events": [["$", "a"]]}, BadJson),
    ("no event ID", versions(1, 2), {"event_id": ABSENT}, BadJson),
    ("event ID a number", VERSIONS, {"event_id": 5}, BadJson),
    ("event ID without a server", versions(1, 2), {"event_id": "$a"}, InvalidParam),
    ("event ID without a sigil", versions(1, 2), {"event_id": "a:b"}, InvalidParam),
    ("float", STRICT, {"content": {"a": 1.5}}, BadJson),
    ("whole float", STRICT, {"content": {"a": 1.0}}, BadJson),
    ("nested float", STRICT, {"unsigned": {"a": [{"b": 1e30}]}}, BadJson),
    ("integer of 54 bits", STRICT, {"content": {"a": 2**53}}, BadJson),
    ("negative integer of 54 bits", STRICT, {"content": {"a": -(2**53)}}, BadJson),
    ("depth of 54 bits", STRICT, {"depth": 2**53}, BadJson),
    ("unsigned null", VERSIONS, {"unsigned": None}, BadJson),
    ("unsigned a list", VERSIONS, {"unsigned": []}, BadJson),
    ("unsigned a text", VERSIONS, {"unsigned": "{}"}, BadJson),
    (
        "room ID without a server",
        versions(1, 11),
        {"room_id": "!" + "x" * 43},
        InvalidParam,
    ),
    (
        "create event whose room ID has no server",
        versions(1, 11),
        {"type": "m.room.create", "state_key": "", "room_id": "!" + "x" * 43},
        InvalidParam,
    ),
    ("room ID of other letters", VERSIONS, {"room_id": "!" + "x" * 42}, InvalidParam),
]


@pytest.mark.parametrize(
    ("version", "changes", "error"),
    [row[1:] for row in ((n, v, c, e) for n, vs, c, e in MALFORMED for v in vs)],
    ids=[
        f"{name} in {version}" for name, those, _, _ in MALFORMED for version in those
    ],
)
def test_parse_refuses(version: str, changes: Json, error: type[ProtocolError]) -> None:
    """A PDU of another form is refused, with the error of its kind."""
    with pytest.raises(ProtocolError) as caught:
        Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])
    assert type(caught.value) is error


def test_parse_refuses_a_create_event_with_a_room_id_in_version_12() -> None:
    """A create event of room version 12 must not name the room it creates."""
    with pytest.raises(BadJson, match="must not have a `room_id`"):
        Event.parse(pdu_of("12", {"type": "m.room.create"}), ROOM_VERSIONS["12"])


@pytest.mark.parametrize("version", versions(1, 11))
def test_parse_demands_the_room_id_of_a_create_event(version: str) -> None:
    """A create event of an earlier room version names the room it creates."""
    changes: Json = {"type": "m.room.create", "room_id": ABSENT}
    with pytest.raises(BadJson, match="`room_id` is not a string"):
        Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])


def pdu_of_size(version: str, size: int) -> Json:
    """A PDU of that many bytes, a signature and unsigned data among them."""
    changes: Json = {
        "signatures": {"a.example": {"ed25519:1": "a" * 86}},
        "unsigned": {"age": 1},
    }
    empty = len(encode(pdu_of(version, changes | {"content": {"body": ""}})))
    return pdu_of(version, changes | {"content": {"body": "x" * (size - empty)}})


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_accepts_a_pdu_of_65536_bytes(version: str) -> None:
    """A PDU may have 65536 bytes in canonical JSON, signatures included."""
    pdu = pdu_of_size(version, 65536)
    assert len(encode(pdu)) == MAX_EVENT_BYTES
    Event.parse(pdu, ROOM_VERSIONS[version])


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_refuses_a_pdu_of_65537_bytes(version: str) -> None:
    """A PDU that is one byte larger than the limit is refused for its size."""
    with pytest.raises(TooLarge, match="has 65537 bytes; the limit is 65536"):
        Event.parse(pdu_of_size(version, 65537), ROOM_VERSIONS[version])


# Member, and what stands before and after the part of it that is made longer.
LIMITED: list[tuple[str, str, str, str]] = [
    ("type", "12", "", ""),
    ("state_key", "12", "", ""),
    ("sender", "12", "@", ":a.example"),
    ("room_id", "12", "!", ":a.example"),
    ("event_id", "1", "$", ":a.example"),
    ("event_id", "12", "$", ""),
]


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
@pytest.mark.parametrize(("member", "version", "before", "after"), LIMITED)
def test_parse_limits_a_text_to_255_bytes(
    member: str, version: str, before: str, after: str, letter: str
) -> None:
    """A PDU's names and IDs may have 255 bytes, and no more."""
    room = 255 - len(before + after)
    width = len(letter.encode())
    longest = before + letter * (room // width) + "x" * (room % width) + after
    assert len(longest.encode()) == 255
    Event.parse(pdu_of(version, {member: longest}), ROOM_VERSIONS[version])

    too_long = before + "x" + longest[len(before) :]
    with pytest.raises(BadJson, match=f"`{member}` has more than 255 bytes"):
        Event.parse(pdu_of(version, {member: too_long}), ROOM_VERSIONS[version])


pdus = st.builds(
    lambda version, changes: (version, pdu_of(version, changes)),
    st.sampled_from(VERSIONS),
    st.dictionaries(
        st.sampled_from([*ALWAYS_KEPT, "unsigned"]),
        st.just(ABSENT) | json_objects | json_values,
        max_size=2,
    ),
)


@given(drawn=pdus)
@settings(deadline=None, max_examples=300)
def test_parse_raises_nothing_but_protocol_errors(drawn: tuple[str, Json]) -> None:
    """Any object is either read, and can be asked, or refused with a ProtocolError."""
    version, pdu = drawn
    try:
        event = Event.parse(pdu, ROOM_VERSIONS[version])
        assert isinstance(event.content_hash_matches, bool)
        assert isinstance(event.required_signers, frozenset)
    except ProtocolError as error:
        assert error.status in {400, 413}


INVITE: Json = {"membership": "invite", "third_party_invite": {"signed": {}}}
VIA: Json = {"membership": "join", "join_authorised_via_users_server": "@v:via.example"}
NO_VIA: Json = {"membership": "join", "join_authorised_via_users_server": 5}
FOREIGN_ID = "$0:id.example"

# What is special, room versions, changes, servers that must have signed.
SIGNERS: list[tuple[str, list[str], Json, str]] = [
    ("plain", VERSIONS, {}, "a.example"),
    ("port", versions(3, 12), {"sender": "@u:b.example:1"}, "b.example:1"),
    ("foreign ID", versions(1, 2), {"event_id": FOREIGN_ID}, "a.example id.example"),
    ("foreign ID", versions(3, 12), {"event_id": FOREIGN_ID}, "a.example"),
    ("third-party invite", versions(1, 2), {"content": INVITE}, "a.example"),
    (
        "third-party invite by another server",
        versions(1, 2),
        {"content": INVITE, "event_id": FOREIGN_ID},
        "id.example",
    ),
    ("third-party invite", versions(3, 12), {"content": INVITE}, ""),
    (
        "third-party invite of another type",
        VERSIONS,
        {"content": INVITE, "type": "m.room.message"},
        "a.example",
    ),
    (
        "join that says to be a third-party invite",
        VERSIONS,
        {"content": INVITE | {"membership": "join"}},
        "a.example",
    ),
    (
        "third-party invite without a membership",
        VERSIONS,
        {"content": {"third_party_invite": {}}},
        "a.example",
    ),
    ("restricted join", versions(1, 7), {"content": VIA}, "a.example"),
    ("restricted join", versions(8, 12), {"content": VIA}, "a.example via.example"),
    ("restricted join by a number", VERSIONS, {"content": NO_VIA}, "a.example"),
    (
        "restricted join of another type",
        VERSIONS,
        {"content": VIA, "type": "m.room.message"},
        "a.example",
    ),
]


def names(texts: Iterable[str]) -> frozenset[ServerName]:
    """The server names in some texts."""
    return frozenset(map(ServerName.parse, texts))


@pytest.mark.parametrize(
    ("version", "changes", "servers"),
    [row[1:] for row in ((n, v, c, s) for n, vs, c, s in SIGNERS for v in vs)],
    ids=[f"{name} in {version}" for name, those, _, _ in SIGNERS for version in those],
)
def test_required_signers(version: str, changes: Json, servers: str) -> None:
    """An event must be signed by the servers that its room version names."""
    event = Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])
    assert event.required_signers == names(servers.split())


def test_required_signers_refuses_a_restricted_join_by_nobody() -> None:
    """A restricted join authorised by what is no user has no list of signers."""
    content: Json = {"membership": "join", "join_authorised_via_users_server": "v"}
    event = Event.parse(pdu_of("12", {"content": content}), ROOM_VERSIONS["12"])
    with pytest.raises(InvalidParam, match="not a user ID"):
        assert event.required_signers


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


FOUNDING: list[tuple[str, str, Json, str | None]] = [
    ("its own room", "6", {}, "!r:a.example"),
    ("a foreign room", "6", {"room_id": "!r:b.example"}, None),
    ("events before it", "6", {"prev_events": ["$x"]}, None),
    ("a state key", "6", {"state_key": "x"}, None),
    ("no state key", "6", {"state_key": None}, None),
    ("another type", "6", {"type": "m.room.name"}, None),
]


@cases("version changes founded", FOUNDING)
def test_a_create_event_founds_its_own_room(
    version: str, changes: Json, founded: str | None
) -> None:
    """Only a first create event of a server's own room creates it."""
    pdu: Json = {
        "type": "m.room.create",
        "content": {"room_version": "6"},
        "sender": "@u:a.example",
        "room_id": "!r:a.example",
        "state_key": "",
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    pdu = {k: v for k, v in (pdu | changes).items() if v is not None}
    assert Event.parse(pdu, ROOM_VERSIONS[version]).created_room_id == founded


def test_a_create_event_of_version_12_founds_the_room_of_its_hash() -> None:
    """In version 12 the room is called as the create event is."""
    pdu = {
        "type": "m.room.create",
        "content": {"room_version": "12"},
        "sender": "@u:a.example",
        "state_key": "",
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    event = Event.parse(pdu, ROOM_VERSIONS["12"])
    assert event.created_room_id == "!" + event.event_id[1:]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_third_party_invite_is_no_restricted_join(version: str) -> None:
    """A third-party invite has no authorising user, whatever else it has."""
    content: Json = INVITE | {"join_authorised_via_users_server": "@x:forger.example"}
    event = Event.parse(pdu_of(version, {"content": content}), ROOM_VERSIONS[version])
    assert event.is_third_party_invite
    expected = "a.example" if version in versions(1, 2) else ""
    assert event.required_signers == names(expected.split())
