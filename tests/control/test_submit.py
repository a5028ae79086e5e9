"""What is handed over to be sent, and what becomes of it on the way to the queue.

An unsigned PDU is hashed and signed as its room version wants; a signed one goes as it
is. A bad item is named, and nothing at all is queued.
"""

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.control.submit import Submitter
from homeserver.control.views import Submission
from homeserver.protocol.canonical_json import Json, encode, encode_base64, parse_object
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError, TooLarge
from homeserver.protocol.events.event import Event, content_hash, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.shapes import read
from tests.support.coroutines import result_of
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, US, identity
from tests.support.submissions import FIRST, PDU, SECOND, Tray, completed, submit
from tests.support.tables import cases

EDU: Json = {"edu_type": "m.typing", "content": {"typing": True}}


def of_version(version: str) -> Json:
    """The PDU as a person writes it for a room of that version."""
    return PDU | ({"event_id": "$e:us.example"} if version in {"1", "2"} else {})


@pytest.mark.parametrize("version", list(ROOM_VERSIONS))
def test_unsigned_pdu_is_completed(version: str) -> None:
    """An unsigned PDU is hashed and signed with each key, as its room version wants."""
    pdu = of_version(version)
    queued = completed(pdu, version)
    room_version = ROOM_VERSIONS[version]
    assert queued["hashes"] == {"sha256": encode_base64(content_hash(pdu))}
    assert Event.parse(queued, room_version).content_hash_matches
    for key in (FIRST, SECOND):
        reference = decode_verify_key_bytes(key.key_id, key.verify_key.key)
        verify_signed_json(redact(queued, room_version), US.name, reference)
    assert {k: queued[k] for k in pdu} == pdu


def test_default_room_version() -> None:
    """Where no room version is named, it is 12."""
    levels = PDU | {"type": "m.room.power_levels", "content": {"invite": 5}}
    assert completed(levels) == completed(levels, "12")
    assert completed(levels) != completed(levels, "10")


def test_hash_that_was_given() -> None:
    """What an unsigned PDU says of its hash is not believed."""
    assert completed(PDU | {"hashes": {"sha256": "AAAA"}}) == completed(PDU)


def test_unsigned_data_is_kept() -> None:
    """`unsigned` is not covered by hash and signature, and goes along."""
    queued = completed(PDU | {"unsigned": {"age": 1}})
    assert queued == completed(PDU) | {"unsigned": {"age": 1}}


SIGNED: list[tuple[str, Json]] = [
    ("of another server", message(peer=OTHERS)),
    ("with a wrong signature", message() | {"depth": 9}),
    ("with no signature in it", PDU | {"signatures": {}}),
    ("with nonsense in it", {"signatures": 5, "x": [1.5, None]}),
]


@cases("pdu", SIGNED)
def test_signed_pdu_goes_as_it_is(pdu: Json) -> None:
    """A PDU with `signatures`, right or wrong, is not touched."""
    assert completed(pdu) == pdu


def test_edus_go_as_they_are() -> None:
    """EDUs are queued as they are, with whatever members they have."""
    edus: list[Json] = [EDU, EDU | {"origin": "x"}]
    assert submit({"edus": edus}).queued == [(THEM.server_name, [], edus)]


def test_order_is_kept() -> None:
    """PDUs stay in their order, signed or not."""
    pdus = [PDU, message(), PDU | {"depth": 4}]
    [(_, queued, _)] = submit({"pdus": pdus}).queued
    assert [pdu["depth"] for pdu in queued] == [3, 3, 4]
    assert queued[1] == message()


def test_nothing() -> None:
    """Nothing is a transaction too."""
    assert submit({}).queued == [(THEM.server_name, [], [])]


BAD: list[tuple[str, Json, type[ProtocolError], str]] = [
    (
        "an unknown member",
        {"pdu": []},
        BadJson,
        "^the body has no member 'pdu'; known are again, edus, .*; did",
    ),
    ("pdus no list", {"pdus": {}}, BadJson, "^`pdus` is not a list"),
    ("a PDU no object", {"pdus": [PDU, 5]}, BadJson, "^PDU 1 is not a JSON object"),
    ("an EDU no object", {"edus": [EDU, 5]}, BadJson, "^EDU 1 is not a JSON object"),
    (
        "an EDU without a type",
        {"edus": [EDU, EDU, {"content": {}}]},
        BadJson,
        "^`edu_type` of EDU 2 is missing",
    ),
    (
        "an EDU without a content",
        {"edus": [{"edu_type": "x"}]},
        BadJson,
        "^`content` of EDU 0 is missing",
    ),
    ("an empty PDU", {"pdus": [{}]}, BadJson, "^PDU 0: "),
    (
        "a PDU without a depth",
        {"pdus": [PDU, {k: v for k, v in PDU.items() if k != "depth"}]},
        BadJson,
        "^PDU 1: `depth` is missing",
    ),
    (
        "a PDU of no type",
        {"pdus": [PDU | {"type": 5}]},
        BadJson,
        "^PDU 0: `type` is not a string",
    ),
    (
        "a float",
        {"pdus": [PDU | {"content": {"x": 1.5}}]},
        BadJson,
        "^PDU 0: canonical JSON has no floats",
    ),
    (
        "too large a PDU",
        {"pdus": [PDU | {"content": {"x": "y" * 65536}}]},
        TooLarge,
        "^PDU 0: the PDU has",
    ),
    (
        "a sender that is none",
        {"pdus": [PDU | {"sender": "nobody"}]},
        InvalidParam,
        "^PDU 0: not a user ID",
    ),
    (
        "a sender of another server",
        {"pdus": [PDU, PDU | {"sender": "@a:them.example"}]},
        InvalidParam,
        "^PDU 1: `sender` is @a:them.example, who is not of us.example",
    ),
    (
        "a sender of ours in other letters",
        {"pdus": [PDU | {"sender": "@a:US.example"}]},
        InvalidParam,
        "^PDU 0: `sender` is @a:US.example",
    ),
    (
        "a sender of ours on a port",
        {"pdus": [PDU | {"sender": "@a:us.example:8448"}]},
        InvalidParam,
        "^PDU 0: `sender` is",
    ),
    (
        "an event of version 2 without an ID",
        {"pdus": [PDU], "room_version": "2"},
        BadJson,
        "^PDU 0: `event_id` is missing",
    ),
    (
        "an unknown room version",
        {"pdus": [], "room_version": "99"},
        InvalidParam,
        "^unknown room version '99'",
    ),
    (
        "a room version that is a number",
        {"pdus": [], "room_version": 12},
        BadJson,
        "^`room_version` is not a string, but an integer",
    ),
]


@cases("content error reason", BAD)
def test_bad_item(content: Json, error: type[ProtocolError], reason: str) -> None:
    """A bad item is named, with the reason, and nothing at all is queued."""
    tray = Tray()
    with pytest.raises(error, match=reason):
        submission = read(Submission, content)
        result_of(Submitter(identity, tray).submit(THEM.server_name, submission))
    assert tray.queued == []


def test_to_ourselves() -> None:
    """Nothing is sent to ourselves."""
    with pytest.raises(InvalidParam, match=r"^us\.example is this server itself"):
        submit({"edus": [EDU]}, US)


def test_what_was_handed_over_is_not_changed() -> None:
    """What the caller has stays as it is."""
    content = parse_object(encode({"pdus": [PDU, message()], "edus": [EDU]}))
    before = encode(content)
    submit(content)
    assert encode(content) == before
