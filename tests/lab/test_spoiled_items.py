"""Transactions whose first PDU or EDU is wrong: the mistake, and nothing else."""

import json
from typing import Any

import pytest

from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.right import Right, accepts, is_met
from homeserver.lab.spoil.spoils import SPOILS, spoil
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, ProtocolError
from homeserver.protocol.events.event import Event, hash_and_sign
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.signing import event_signatures, verify
from tests.support.drafts import RIGHT, draft_of, key
from tests.support.signed_requests import US

PDU: Json = {
    "type": "m.room.message",
    "room_id": f"!r:{US}",
    "sender": f"@a:{US}",
    "content": {"body": "x"},
    "origin_server_ts": 1,
    "depth": 1,
    "prev_events": ["$" + "p" * 43],
    "auth_events": [],
}
OLD_PDU: Json = PDU | {"event_id": f"$1:{US}", "prev_events": [[f"$0:{US}", {}]]}
LAST: Json = {"type": "m.room.message"}


def right_pdu(version: str) -> Json:
    """A PDU of a room version, signed."""
    room_version = ROOM_VERSIONS[version]
    pdu = OLD_PDU if room_version.id_format is IdFormat.SENT else PDU
    return hash_and_sign(pdu, room_version, US, [key(RIGHT)])


def spoiled(pdu: Json, text: str) -> tuple[Draft, Json]:
    """A transaction of a PDU and another one, with a mistake, and its first PDU."""
    draft = draft_of(content={"pdus": [pdu, LAST], "edus": []})
    spoil(draft, [text])
    first, last = json.loads(draft.body or b"")["pdus"]
    assert last == LAST
    return draft, first


def is_right(pdu: Json, version: str) -> tuple[bool, bool]:
    """Whether our signature verifies in a room version, and the content hash."""
    verify_key = key(RIGHT).verify_key
    try:
        event = Event.parse(pdu, ROOM_VERSIONS[version])
        signatures = event_signatures(pdu, US)
        verify(event.signed, signatures, {RIGHT: verify_key}, "event")
    except ProtocolError:
        return False, False
    return True, event.content_hash_matches


VERSIONS = ["1", "3", "10", "12"]

MISTAKES = [
    ("pdu-signature", (False, False)),
    ("pdu-hash", (True, False)),
    ("pdu-size", (False, False)),
    ("pdu-room-version", (False, False)),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "found"), MISTAKES)
def test_a_pdu_of_each_version(
    version: str, name: str, found: tuple[bool, bool]
) -> None:
    """The version is found by the signature; the mistake is the only one."""
    pdu = right_pdu(version)
    assert is_right(pdu, version) == (True, True)
    _, wrong = spoiled(pdu, name)
    assert is_right(wrong, version) == found


@pytest.mark.parametrize("name", [name for name, _ in MISTAKES])
def test_a_bare_pdu_is_signed_first(name: str) -> None:
    """Without signatures, the PDU is one of the version that `send` has."""
    _, wrong = spoiled(PDU, name)
    assert US.name in json.loads(json.dumps(wrong["signatures"]))


def test_another_event_id() -> None:
    """The ID is signed, too, and is the one that nothing may be accepted under."""
    draft, wrong = spoiled(right_pdu("10"), "pdu-event-id")
    assert is_right(wrong, "10") == (True, True)
    assert draft.wrong_ids == {wrong["event_id"]}


def test_ids_that_no_reply_may_have() -> None:
    """A PDU that must be refused is known by its ID in the reply."""
    draft, wrong = spoiled(right_pdu("10"), "pdu-signature")
    own_id = Event.parse(wrong, ROOM_VERSIONS["10"]).event_id
    assert draft.wrong_ids == {own_id}
    draft, _ = spoiled(PDU, "pdu-size")
    assert len(draft.wrong_ids) == 1
    draft, _ = spoiled(PDU, "pdu-room-version")
    assert len(draft.wrong_ids) == 1


def first_edu(edus: list[Any], text: str) -> Any:
    """The first EDU of a transaction with a mistake."""
    draft = draft_of(content={"pdus": [], "edus": edus})
    spoil(draft, [text])
    return json.loads(draft.body or b"")["edus"][0]


THEIR_USER = "@spoiled:spoiled.invalid"
EDUS: list[tuple[list[Any], Any]] = [
    (
        [{"edu_type": "m.receipt", "content": {"!r": {"m.read": {f"@a:{US}": {}}}}}],
        {"edu_type": "m.receipt", "content": {"!r": {"m.read": {THEIR_USER: {}}}}},
    ),
    (
        [{"edu_type": "m.presence", "content": {"push": [{"user_id": f"@a:{US}"}]}}],
        {"edu_type": "m.presence", "content": {"push": [{"user_id": THEIR_USER}]}},
    ),
]


@pytest.mark.parametrize(("edus", "expected"), EDUS)
def test_an_edu_of_another_user(edus: list[Any], expected: Any) -> None:
    """Each user of ours in it is one of another server."""
    assert first_edu(edus, "edu-sender") == expected


@pytest.mark.parametrize("edus", [[], [{"edu_type": "m.x"}], [1]])
def test_an_edu_is_made(edus: list[Any]) -> None:
    """Without a user of ours in it, the EDU is one of typing."""
    edu = first_edu(edus, "edu-sender")
    assert (edu["edu_type"], edu["content"]["user_id"]) == ("m.typing", THEIR_USER)


def test_an_edu_without_shape() -> None:
    """Its members have other types."""
    assert first_edu([], "edu-shape") == {"edu_type": 1, "content": []}


BAD: list[tuple[object, str, str]] = [
    ({"pdus": []}, "pdu-hash", "'pdu-hash' needs a PDU in `pdus`"),
    ({"pdus": [1]}, "pdu-size", "'pdu-size' needs a PDU in `pdus`"),
    ([], "pdu-size", "needs a `content` that is an object"),
    ([], "edu-sender", "needs a `content` that is an object"),
    ({"pdus": [PDU | {"signatures": {}}]}, "pdu-hash", "or one that us.example signed"),
    ({"pdus": [PDU | {"signatures": 1}]}, "pdu-signature", "or one that us.example"),
    ({}, "sni:a b", "one word of ASCII"),
    ({}, "sni", "'sni' needs a text, as in sni:TEXT"),
]


@pytest.mark.parametrize(("content", "text", "why"), BAD)
def test_a_mistake_that_cannot_be_made(content: object, text: str, why: str) -> None:
    """The error names the mistake, and what it needs."""
    draft = draft_of(content=content)
    with pytest.raises(InvalidParam, match=why):
        spoil(draft, [text])


REPLIES: list[tuple[object, bool]] = [
    ({"pdus": {"$a": {}}}, True),
    ({"pdus": {"$a": {"error": None}}}, True),
    ({"pdus": {"$a": {"error": "x"}}}, False),
    ({"pdus": {"$a": 1}}, False),
    ({"pdus": {"$b": {}}}, False),
    ({"pdus": []}, False),
    (None, False),
]


@pytest.mark.parametrize(("reply", "expected"), REPLIES)
def test_what_a_reply_accepts(reply: object, expected: object) -> None:
    """A result without an error accepts the PDU."""
    assert accepts(reply, {"$a"}) is expected


JUDGED: list[tuple[str, int, bool, bool]] = [
    ("pdu-signature", 200, False, True),
    ("pdu-signature", 200, True, False),
    ("pdu-signature", 400, False, False),
    ("pdu-size", 413, False, True),
    ("pdu-hash", 200, True, True),
    ("edu-sender", 200, False, True),
    ("edu-shape", 400, False, True),
    ("edu-shape", 500, False, False),
]


@pytest.mark.parametrize(("name", "status", "accepted", "expected"), JUDGED)
def test_what_is_right(
    name: str, status: int, accepted: object, expected: object
) -> None:
    """A PDU that must be refused is not accepted."""
    rights: list[Right] = [SPOILS[name].right]
    assert is_met(rights, status, accepts_pdu=bool(accepted)) is expected
