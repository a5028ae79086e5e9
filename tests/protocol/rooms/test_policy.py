"""Policy servers: when a room has one, and whether it has signed an event."""

import nacl.signing
import pytest

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import BadJson, ProtocolError, Unauthorized
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.authorization import Allowed, NotAllowed
from homeserver.protocol.rooms.policy import (
    PolicyServer,
    apply_policy,
    is_recommended,
    needs_policy,
)
from homeserver.protocol.rooms.receipt import Outcome, Receipt
from homeserver.protocol.signing import POLICY_KEY_ID, SigningKey
from tests.protocol.rooms.room import ALICE, DAN, Room
from tests.support.tables import cases

KEY = SigningKey(POLICY_KEY_ID, nacl.signing.SigningKey(b"p" * 32))
OTHER = SigningKey(POLICY_KEY_ID, nacl.signing.SigningKey(b"q" * 32))
PUBLIC = encode_base64(KEY.verify_key.key)
D = "d.example"  # whose user is in the room


def room_with(content: Json, key: str = "", version: str = "12") -> Room:
    """A room with that policy."""
    return Room(version).set("m.room.policy", ALICE, content, key)


def policy_of(via: object = D, key: object = PUBLIC) -> Json:
    """The content of a policy."""
    return {"via": via, "public_keys": {"ed25519": key}}


def signed_by(event: Event, key: SigningKey, server: str = D) -> Json:
    """A policy server's reply."""
    return {server: {POLICY_KEY_ID: encode_base64(key.sign(event.signed))}}


def policy_server(room: Room) -> PolicyServer:
    """The policy server of a room that has one."""
    found = PolicyServer.of(room.state)
    assert found is not None
    return found


def test_a_room_names_its_policy_server() -> None:
    """By name and key."""
    found = policy_server(room_with(policy_of()))
    assert found.name == ServerName.parse(D)
    assert found.key == KEY.verify_key


NONE: list[tuple[str, Json, str]] = [
    ("of another state key", policy_of(), "x"),
    ("no name", {"public_keys": {"ed25519": PUBLIC}}, ""),
    ("a name that is no text", policy_of(via=5), ""),
    ("a name that is none", policy_of(via="-:x"), ""),
    ("no keys", {"via": D}, ""),
    ("keys that are no object", {"via": D, "public_keys": PUBLIC}, ""),
    ("a key that is no text", policy_of(key=5), ""),
    ("a short key", policy_of(key="AAAA"), ""),
    ("a server without users in the room", policy_of(via="o.example"), ""),
    ("a server whose user is only invited", policy_of(via="i.example"), ""),
]


@cases("content key", NONE)
def test_a_room_without_policy_server(content: Json, key: str) -> None:
    """What is not a policy server's name and key, with a user in the room, is none."""
    room = room_with(content, key)
    assert PolicyServer.of(room.state) is None
    assert is_recommended(room.make("m.room.message", DAN, {}), room.state)


def test_a_room_without_policy() -> None:
    """A room needs no policy server."""
    room = Room("12")
    assert PolicyServer.of(room.state) is None
    assert is_recommended(room.make("m.room.message", DAN, {}), room.state)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_signed_event_is_recommended(version: str) -> None:
    """With the signature it goes on; without it, it does not."""
    room = room_with(policy_of(), version=version)
    event = room.make("m.room.message", ALICE, {"body": "x"})
    assert not is_recommended(event, room.state)
    signed = policy_server(room).add_signature(event, signed_by(event, KEY))
    assert signed.event_id == event.event_id
    assert is_recommended(signed, room.state)


UNSIGNED: list[tuple[str, object]] = [
    ("by another key", {D: {POLICY_KEY_ID: "other"}}),
    ("by another server", {"i.example": {POLICY_KEY_ID: "right"}}),
    ("under another key ID", {D: {"ed25519:1": "right"}}),
    ("no base64", {D: {POLICY_KEY_ID: "%"}}),
    ("no text", {D: {POLICY_KEY_ID: 5}}),
    ("no object", {D: "right"}),
]


@pytest.mark.parametrize("signatures", [x[1] for x in UNSIGNED])
def test_an_event_that_is_not_signed(signatures: Json) -> None:
    """A signature that does not verify is none."""
    room = room_with(policy_of())
    event = room.make("m.room.message", ALICE, {"body": "x"})
    right = encode_base64(KEY.sign(event.signed))
    wrong = encode_base64(OTHER.sign(event.signed))
    put = {"right": right, "other": wrong}

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return {k: filled(v) for k, v in value.items()}
        return put.get(value, value) if isinstance(value, str) else value

    given = Event.parse({**event.pdu, "signatures": filled(signatures)}, room.version)
    assert not is_recommended(given, room.state)


def test_the_signature_of_another_event() -> None:
    """A signature is over this event alone."""
    room = room_with(policy_of())
    event = room.make("m.room.message", ALICE, {"body": "x"})
    other = room.make("m.room.message", ALICE, {"body": "y"})
    with pytest.raises(Unauthorized, match="signature does not verify"):
        policy_server(room).add_signature(event, signed_by(other, KEY))


REPLIES: list[tuple[object, type[ProtocolError]]] = [
    (None, BadJson),
    ([], BadJson),
    ({}, BadJson),
    ({D: []}, BadJson),
    ({D: {}}, BadJson),
    ({D: {POLICY_KEY_ID: 5}}, Unauthorized),
    ({D: {POLICY_KEY_ID: "%"}}, Unauthorized),
    ({D: {POLICY_KEY_ID: "AAAA"}}, Unauthorized),
    ({"o.example": {POLICY_KEY_ID: "AAAA"}}, BadJson),
]


@pytest.mark.parametrize(("reply", "error"), REPLIES)
def test_a_reply_without_signature(reply: object, error: type[ProtocolError]) -> None:
    """What a policy server answers is not taken unseen."""
    room = room_with(policy_of())
    event = room.make("m.room.message", ALICE, {})
    with pytest.raises(error):
        policy_server(room).add_signature(event, reply)


def test_other_signatures_stay() -> None:
    """The policy server's signature goes beside those that are there, its own too."""
    room = room_with(policy_of(via="a.example"))
    own = {"a.example": {"ed25519:1": "own"}, "b.example": {"ed25519:2": "b"}}
    event = room.make("m.room.message", ALICE, {}, signatures=own)
    text = encode_base64(KEY.sign(event.signed))
    reply = {"a.example": {POLICY_KEY_ID: text, "ed25519:x": "more"}, "c.example": {}}
    signed = policy_server(room).add_signature(event, reply)
    assert signed.pdu["signatures"] == {
        "a.example": {"ed25519:1": "own", POLICY_KEY_ID: text},
        "b.example": {"ed25519:2": "b"},
    }


def test_what_needs_no_signature() -> None:
    """The event that names the policy server, and no other."""
    room = room_with(policy_of())
    free = room.make("m.room.policy", ALICE, {}, "")
    assert not needs_policy(free)
    assert is_recommended(free, room.state)
    for key in ("x", None):
        other = room.make("m.room.policy", ALICE, {}, key)
        assert needs_policy(other)
        assert not is_recommended(other, room.state)


def test_the_seventh_check_decides_last() -> None:
    """It soft-fails what the others accepted, and leaves any other outcome."""
    room = room_with(policy_of())
    event = room.make("m.room.message", ALICE, {})
    allowed = Allowed("9", "otherwise")
    accepted = Receipt(Outcome.ACCEPTED, 6, allowed)
    found = apply_policy(accepted, event, room.state)
    assert (found.outcome, found.check) == (Outcome.SOFT_FAILED, 7)
    assert isinstance(found.verdict, NotAllowed)
    assert found.verdict.why == f"the policy server {D} did not sign it"
    rejected = Receipt(Outcome.REJECTED, 5, allowed)
    assert apply_policy(rejected, event, room.state) is rejected
    assert apply_policy(accepted, event, {}) is accepted
