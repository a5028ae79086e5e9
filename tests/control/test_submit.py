"""What is handed over to be sent, and what becomes of it on the way to the queue."""

from collections.abc import Sequence

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json

from homeserver.control.submit import Submitter
from homeserver.control.views import Submission
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.canonical_json import Json, encode, encode_base64, parse_object
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    ProtocolError,
    TooLarge,
)
from homeserver.protocol.events.event import Event, content_hash, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.shapes import read
from tests.support.coroutines import result_of
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, US, identity, signing_key
from tests.support.tables import cases

FIRST, SECOND = signing_key("a_1", b"1"), signing_key("a_2", b"2")

EDU: Json = {"edu_type": "m.typing", "content": {"typing": True}}
PDU: Json = {
    "type": "m.room.message",
    "room_id": "!r:us.example",
    "sender": "@a:us.example",
    "content": {"body": "hello"},
    "origin_server_ts": 1_700_000_000_000,
    "depth": 3,
    "prev_events": [],
    "auth_events": [],
}


class Tray(Outgoing):
    """Takes what is queued."""

    def __init__(self) -> None:
        self.queued: list[tuple[ServerName, Sequence[Json], Sequence[Json]]] = []

    async def enqueue(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        txn_id: str | None = None,
    ) -> int:
        """Take one entry; its number from 1."""
        self.queued.append((destination, pdus, edus))
        return len(self.queued)


def submit(content: Json, destination: ServerName = THEM.server_name) -> Tray:
    """Hand something over; where it is then."""
    tray = Tray()
    ours = identity([FIRST, SECOND])
    number = result_of(
        Submitter(lambda: ours, tray).submit(destination, read(Submission, content))
    )
    assert number == len(tray.queued) == 1
    return tray


def completed(pdu: Json, version: str | None = None) -> Json:
    """What becomes of one PDU."""
    chosen: Json = {} if version is None else {"room_version": version}
    [(_, [queued], _)] = submit({"pdus": [pdu], **chosen}).queued
    return queued


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


OF_2014: Json = {
    "event_id": "$e:us.example",
    "type": "m.room.history_visibility",
    "membership": "join",
    "content": {"history_visibility": "shared"},
}


@pytest.mark.parametrize("origin", [None, "other.example"])
def test_pdu_of_2014_is_signed(origin: str | None) -> None:
    """It is signed by the redaction of that time, and has the origin it needs."""
    given = {} if origin is None else {"origin": origin}
    pdu = PDU | OF_2014 | given
    queued = completed(pdu, "2014")
    expected = pdu | {"origin": origin or US.name}
    assert queued["hashes"] == {"sha256": encode_base64(content_hash(expected))}
    assert {k: queued[k] for k in expected} == expected
    assert queued.keys() - expected.keys() == {"hashes", "signatures"}
    kept = {k: v for k, v in queued.items() if k != "membership"} | {"content": {}}
    for key in (FIRST, SECOND):
        reference = decode_verify_key_bytes(key.key_id, key.verify_key.key)
        verify_signed_json(kept, US.name, reference)


def test_pdu_of_2014_gets_an_id() -> None:
    """One without an event ID gets one of ours, the same for the same event."""
    queued = completed(PDU, "2014")
    own_id = str(queued["event_id"])
    assert own_id.endswith(f":{US.name}")
    assert Event.parse(queued, ROOM_VERSIONS["1"]).event_id == own_id
    assert completed(PDU, "2014") == queued
    assert completed(PDU | {"depth": 9}, "2014")["event_id"] != own_id


UNSIGNED_2014: Json = {
    "pdu_id": "x",
    "context": "!r:us.example",
    "pdu_type": "m.room.message",
    "origin": "us.example",
    "content": {},
}


def test_unsigned_pdu_of_2014_goes_as_it_is() -> None:
    """What the servers of that time did not sign is not signed."""
    assert completed(UNSIGNED_2014, "2014") == UNSIGNED_2014


@pytest.mark.parametrize(
    ("changes", "version", "why"),
    [
        (
            {"origin": "other.example"},
            "2014",
            "PDU 0: an unsigned PDU of 2014 is accepted",
        ),
        ({"content": 5}, "2014", "PDU 0: `content` is not a JSON object"),
        ({}, "12", "PDU 0: `depth` is not an integer"),
    ],
)
def test_bad_pdu_of_2014(changes: Json, version: str, why: str) -> None:
    """One of another server, or of another room version, is refused."""
    with pytest.raises(ProtocolError, match=why):
        completed(UNSIGNED_2014 | changes, version)


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
        "^`edu_type` of EDU 2 is not a string",
    ),
    (
        "an EDU without a content",
        {"edus": [{"edu_type": "x"}]},
        BadJson,
        "^`content` of EDU 0 is not a JSON object",
    ),
    ("an empty PDU", {"pdus": [{}]}, BadJson, "^PDU 0: "),
    (
        "a PDU without a depth",
        {"pdus": [PDU, {k: v for k, v in PDU.items() if k != "depth"}]},
        BadJson,
        "^PDU 1: `depth` is not an integer",
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
        "^PDU 0: `event_id` is not a string",
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
