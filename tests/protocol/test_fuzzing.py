"""Whatever a peer sends is read, or is the peer's fault, and nothing else.

Each of the four parsers stands 2,500 inputs here. A hundred times as many:

    FUZZ_EXAMPLES=25000 .venv/bin/python -m pytest tests/protocol/test_fuzzing.py
"""

import contextlib
from collections.abc import Sequence
from random import Random

from hypothesis import given

from homeserver.protocol import signing
from homeserver.protocol.bodies import check_body, read_body
from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events import edus
from homeserver.protocol.events.event import Event, event_id, redact
from homeserver.protocol.events.room_versions import (
    EVENTS_OF_2014,
    ROOM_VERSIONS,
    RoomVersion,
)
from homeserver.protocol.events.version_inference import infer_room_versions
from homeserver.protocol.key_documents import build_v1, build_v2, parse_v1, parse_v2
from homeserver.protocol.signing import parse_signatures, signed_bytes
from homeserver.protocol.transactions import Transaction, build_reply
from homeserver.protocol.xmatrix import Authorization
from tests.support.body_readings import both_ways
from tests.support.fuzzing import INPUTS, fuzzed, randoms
from tests.support.mutations import mutated_bytes, mutated_json
from tests.support.pdus import create, message
from tests.support.signed_requests import OTHERS, THEM, US

HEADERS = [
    THEM.authorize("GET", "/").encode(),
    OTHERS.authorize("GET", "/").replace('"', "", 2).encode(),
    b'X-Matrix  ORIGIN="a.org" ,\tKey="ed25519:1", Sig="%b",x="\\"y"' % (b"A" * 86),
    b'X-Matrix origin="[::1]:8448",destination=b.org:1,key=ed25519:1,sig=' + b"A" * 86,
]
HEADER_FRAGMENTS = [
    *[
        b'"',
        b"\\",
        b",",
        b"=",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\n",
        b"\xc4\xb1",
        b"%",
        b"[::",
    ],
    *[b"origin=", b"key=", b'sig="', b"destination=", b"X-Matrix ", b"a" * 3000],
    *[b'",' * 500, b'\\"' * 500, b"ed25519:", b"rsa:1", b"AAAA", b"_", b"-"],
]


@fuzzed
@given(randoms)
def test_header(random: Random) -> None:
    """An `Authorization` header is read and can be written again, or is a 400."""
    for _ in range(INPUTS):
        check_header(mutated_bytes(random, HEADERS, HEADER_FRAGMENTS))


def check_header(data: bytes) -> None:
    """Let a header be read."""
    try:
        parsed = Authorization.parse(data.decode("ascii", "replace"))
    except ProtocolError as problem:
        assert problem.status == 400
        assert len(str(problem)) < 1000
    else:
        assert Authorization.parse(str(parsed)) == parsed


def edu(kind: str, **content: object) -> Json:
    """An EDU of a type."""
    return {"edu_type": kind, "content": content}


USER = f"@a:{THEM.server_name}"
RECEIPT: Json = {"m.read": {USER: {"event_ids": ["$e"], "data": {"ts": 1}}}}
TRANSACTION: Json = {
    "origin": THEM.server_name.name,
    "origin_server_ts": 1_000_000,
    "pdus": [message(), create()],
    "edus": [
        edu("m.presence", push=[{"user_id": USER, "presence": "online"}], poll=[USER]),
        edu("m.presence_invite", observed_user=f"@b:{US}", observer_user=USER),
        edu("m.typing", room_id="!r:a", user_id=USER, typing=True),
        edu("m.receipt", **{"!r:a": RECEIPT}),
        edu("m.direct_to_device", sender=USER, type="m.x", message_id="1", messages={}),
        edu("m.device_list_update", user_id=USER, device_id="D", stream_id=1),
        edu("m.signing_key_update", user_id=USER, master_key={}),
    ],
}
SMALL: Json = {"pdus": [{}], "edus": TRANSACTION["edus"], "ts": 5, "prev_ids": []}
JSON_FRAGMENTS = [
    *[b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"\0", b"\xff", b"\xed\xa0\x80"],
    *[b"1e999", b"-0", b"NaN", b"9" * 5000, b"1.5", b"\\ud800", b"\\u0000", b"null"],
    *[b"[" * 200, b'{"a":' * 5000, b'"pdus":[],', b'"edus":', b"\xef\xbb\xbf", b"\n"],
]


@fuzzed
@given(randoms)
def test_body(random: Random) -> None:
    """A transaction is read, and each EDU in it good or bad, or it is refused."""
    bodies = [TRANSACTION, SMALL]
    texts = [encode(each) for each in bodies]
    for _ in range(INPUTS // 2):
        take_body(encode(mutated_json(random, bodies)))
        take_body(mutated_bytes(random, texts, JSON_FRAGMENTS))


def take_body(data: bytes) -> None:
    """Let a body be read, in both ways."""
    both_ways(data)
    try:
        content = check_body(read_body(data))
        assert read_body(encode(content)).content == content
        transaction = Transaction.parse(content)
    except ProtocolError as problem:
        assert problem.status in {400, 413}
        assert len(str(problem)) < 1000
        return
    for each in transaction.edus:
        with contextlib.suppress(ProtocolError):
            edus.check(each, THEM.server_name)
            edus.polled_users(each)


INVITE: Json = {"membership": "invite", "third_party_invite": {"signed": {}}}
VIA: Json = {"membership": "join", "join_authorised_via_users_server": USER}
PDUS: list[Json] = [
    *[message(version) for version in ("1", "6", "11")],
    *[create(version) for version in ("1", "10", "12")],
    message("12", room_id="!" + "a" * 43),
    message(
        "1", prev_events=[["$p:b.org", {"sha256": "AA"}]], user_id=USER, sender=None
    ),
    *[message("10", type="m.room.member", content=each) for each in (INVITE, VIA)],
    message("5", content={"x": 1.5, "y": [[]]}, unsigned={"age": 1}),
]

VERSIONS = [*ROOM_VERSIONS.values(), EVENTS_OF_2014]


@fuzzed
@given(randoms)
def test_pdu(random: Random) -> None:
    """A PDU is an event of some room version that can be asked, or of none."""
    for _ in range(INPUTS):
        pdu = parse_object(encode(mutated_json(random, PDUS)))
        check_pdu(pdu, random.sample(VERSIONS, 4))


def check_pdu(pdu: Json, room_versions: Sequence[RoomVersion]) -> None:
    """Let a PDU be judged by some room versions."""
    for default in ("3", "11"):
        with contextlib.suppress(ProtocolError):
            assert infer_room_versions(pdu, None, ROOM_VERSIONS[default])
    for room_version in room_versions:
        with contextlib.suppress(ProtocolError):
            event_id(pdu, room_version)
        try:
            event = Event.parse(pdu, room_version)
            servers = event.required_signers
        except ProtocolError as problem:
            assert problem.status in {400, 413}
            assert len(str(problem)) < 1000
            continue
        assert build_reply({event.event_id: None})
        assert event.content_hash_matches in {True, False}
        assert event.created_room_id is None or event.type == "m.room.create"
        assert signed_bytes(redact(pdu, room_version))
        for server_name in servers:
            with contextlib.suppress(ProtocolError):
                parse_signatures(pdu, server_name)


DOCUMENTS: list[Json] = [
    build_v1(THEM.server_name, b"certificate", [THEM.key]),
    build_v2(THEM.server_name, [THEM.key], [], 1_800_000_000_000),
]


@fuzzed
@given(randoms)
def test_key_document(random: Random) -> None:
    """A key document has keys of its server and its signature, or is refused."""
    texts = [encode(each) for each in DOCUMENTS]
    for _ in range(INPUTS // 2):
        mutated = mutated_json(random, DOCUMENTS)
        if random.random() < 0.5:  # signed by who has changed it
            unsigned = {k: v for k, v in mutated.items() if k != "signatures"}
            mutated = signing.sign(unsigned, THEM.server_name, [THEM.key])
        check_key_document(encode(mutated))
        check_key_document(mutated_bytes(random, texts, JSON_FRAGMENTS))


def check_key_document(data: bytes) -> None:
    """Let a key document be read, as of both versions."""
    for parse_document in (parse_v1, parse_v2):
        try:
            document = parse_document(data, THEM.server_name)
        except ProtocolError as problem:
            assert problem.status in {400, 401, 413}
            assert len(str(problem)) < 1000
        else:
            assert document.server_name == THEM.server_name
            assert document.verify_keys
