"""PDUs of the servers of 2014 that did not sign them (Synapse 0.4)."""

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError, TooLarge
from homeserver.protocol.events.unsigned_2014 import (
    check_unsigned_2014,
    is_unsigned_2014,
)
from homeserver.protocol.identifiers import ServerName

THEM = ServerName.parse("them.example")

# As Synapse 0.4 sends a state PDU.
PDU: Json = {
    "pdu_id": "aPRTzEgd",
    "context": "!r:them.example",
    "pdu_type": "m.room.member",
    "origin": "them.example",
    "origin_server_ts": 1_415_000_000_000,
    "content": {"membership": "join"},
    "depth": 2,
    "prev_pdus": [["YyNhfpTs", "them.example"]],
    "is_state": True,
    "state_key": "@a:them.example",
    "power_level": 0,
    "prev_state_id": None,
    "user_id": "@a:them.example",
}


# Changes, and whether it is such a PDU then; None takes a member away.
KNOWN: list[tuple[Json, bool]] = [
    ({}, True),
    ({"user_id": None, "is_state": None, "state_key": None}, True),
    ({"type": "m.x", "sender": "@a:them.example", "signatures": {}}, True),
    ({"pdu_id": None}, False),
    ({"context": None}, False),
    ({"pdu_type": None}, False),
    ({"event_id": "$e:them.example"}, False),
    ({"room_id": "!r:them.example"}, False),
]


def changed(changes: Json) -> Json:
    """The PDU with other members, or without those that are None."""
    return {k: v for k, v in (PDU | changes).items() if v is not None}


@pytest.mark.parametrize(("changes", "is_one"), KNOWN)
def test_it_is_known_by_its_members(changes: Json, is_one: bool) -> None:  # noqa: FBT001
    """It has `pdu_id`, `context` and `pdu_type`, and no member of later ones."""
    assert is_unsigned_2014(changed(changes)) == is_one


GOOD: list[Json] = [
    {},
    {"user_id": None},
    {"pdu_id": "x" * 255},
    {"content": {"a": 1.5}},
    {"origin_server_ts": None},
]


@pytest.mark.parametrize("changes", GOOD)
def test_it_is_of_its_origin(changes: Json) -> None:
    """One whose origin and user are those of the transaction passes."""
    check_unsigned_2014(changed(changes), THEM)


BAD: list[tuple[Json, type[ProtocolError], str]] = [
    ({"origin": "others.example"}, InvalidParam, "`origin` is 'others.example', but"),
    ({"origin": "THEM.example"}, InvalidParam, "`origin` is 'THEM.example', but"),
    ({"origin": None}, BadJson, "`origin` is missing"),
    ({"user_id": "@a:others.example"}, InvalidParam, "`user_id` is '@a:others.exampl"),
    ({"user_id": "@a:them.example:1"}, InvalidParam, "`user_id` is '@a:them.example:"),
    ({"user_id": "a"}, InvalidParam, "not a user ID"),
    ({"user_id": 5}, BadJson, "`user_id` is not a string"),
    ({"context": "r"}, InvalidParam, "not a room ID"),
    ({"context": 5}, BadJson, "`context` is not a string"),
    ({"pdu_id": 5}, BadJson, "`pdu_id` is not a string"),
    ({"pdu_type": ["m.x"]}, BadJson, "`pdu_type` is not a string"),
    ({"pdu_id": "é" * 128}, BadJson, "`pdu_id` has more than 255 bytes"),
    ({"pdu_type": "x" * 256}, BadJson, "`pdu_type` has more than 255 bytes"),
    ({"content": None}, BadJson, "`content` is missing"),
    ({"content": []}, BadJson, "`content` is not a JSON object"),
]


@pytest.mark.parametrize(("changes", "error", "why"), BAD)
def test_it_is_refused(changes: Json, error: type[ProtocolError], why: str) -> None:
    """One of another form, or of another server, is refused."""
    with pytest.raises(error, match=why):
        check_unsigned_2014(changed(changes), THEM)


def test_its_size_is_limited() -> None:
    """One may have as many bytes as any other PDU, and no more."""
    around = len(encode(changed({"content": {"body": ""}})))
    check_unsigned_2014(changed({"content": {"body": "x" * (65536 - around)}}), THEM)
    with pytest.raises(TooLarge, match="the PDU has 65537 bytes"):
        check_unsigned_2014(
            changed({"content": {"body": "x" * (65537 - around)}}), THEM
        )
