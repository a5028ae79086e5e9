"""What redaction keeps of an event, in each room version.

Rules: exactly the members that the version lists are kept, of the PDU and of its
content; nothing fails, and the PDU that is given stays as it is.
"""

from hashlib import sha256

import canonicaljson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, encode_urlsafe_base64
from homeserver.protocol.events.event import event_id, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.event_forms import VERSIONS, pdu_of, versions
from tests.support.event_members import ALWAYS_KEPT, CONTENT, KEPT_CONTENT

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
