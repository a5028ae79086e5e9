"""Where a member that has to be there is not, it is said to be missing."""

from collections.abc import Callable, Iterator

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.device_lists import parse_device_list
from homeserver.protocol.errors import MISSING, BadJson, Unauthorized, quote
from homeserver.protocol.events import edus
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, RoomId, ServerName, UserId
from homeserver.protocol.key_documents import build_v1, build_v2, parse_v1, parse_v2
from homeserver.protocol.rooms.templates import Wanted, read_template
from tests.support.key_documents import signing_key
from tests.support.pdus import message
from tests.support.tables import cases

THEM = ServerName.parse("them.example")
BOB = UserId.parse("@bob:them.example")
ROOM = "!r:them.example"
JOIN = Wanted("join", RoomId(ROOM), BOB)
KEY = signing_key(KeyId("ed25519:a"))

READERS: list[tuple[str, Callable[[Json], object], Json]] = [
    *(
        (f"event {v}", lambda pdu, v=v: Event.parse(pdu, ROOM_VERSIONS[v]), message(v))
        for v in ("1", "11")
    ),
    (
        "device list",
        lambda reply: parse_device_list(reply, BOB),
        {
            "user_id": BOB.user_id,
            "stream_id": 3,
            "devices": [
                {
                    "device_id": "D",
                    "keys": {
                        "user_id": BOB.user_id,
                        "device_id": "D",
                        "algorithms": [],
                        "keys": {},
                        "signatures": {},
                    },
                }
            ],
        },
    ),
    (
        "template",
        lambda reply: read_template(reply, JOIN),
        {
            "room_version": "11",
            "event": {
                "type": "m.room.member",
                "room_id": ROOM,
                "sender": BOB.user_id,
                "state_key": BOB.user_id,
                "content": {"membership": "join"},
                "depth": 2,
                "prev_events": [],
                "auth_events": [],
            },
        },
    ),
    (
        "key document 1",
        lambda document: parse_v1(encode(document), THEM),
        build_v1(THEM, b"DER", [KEY]),
    ),
    (
        "key document 2",
        lambda document: parse_v2(encode(document), THEM),
        build_v2(THEM, [KEY], [], 1),
    ),
    *(
        (
            f"EDU {kind}",
            lambda edu: edus.check(edu, THEM),
            {"edu_type": kind, "content": content},
        )
        for kind, content in [
            ("m.typing", {"room_id": ROOM, "user_id": BOB.user_id, "typing": True}),
            ("m.presence", {"push": [{"user_id": BOB.user_id, "presence": "online"}]}),
            (
                "m.receipt",
                {ROOM: {"m.read": {BOB.user_id: {"event_ids": [], "data": {"ts": 1}}}}},
            ),
            (
                "m.direct_to_device",
                {
                    "sender": BOB.user_id,
                    "type": "m.x",
                    "message_id": "1",
                    "messages": {},
                },
            ),
            (
                "m.device_list_update",
                {"user_id": BOB.user_id, "device_id": "D", "stream_id": 1},
            ),
        ]
    ),
]


def lacking(value: object) -> Iterator[tuple[str, object]]:
    """Each member of a value, also of its parts, and the value without it."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, {k: v for k, v in value.items() if k != name}
            for inner, part in lacking(member):
                yield inner, value | {name: part}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for inner, part in lacking(item):
                yield inner, [*value[:index], part, *value[index + 1 :]]


@cases("read whole", READERS)
def test_missing(read: Callable[[Json], object], whole: Json) -> None:
    """The error names the member, and does not speak of its type."""
    read(whole)
    told = 0
    for name, part in lacking(whole):
        assert isinstance(part, dict)
        try:
            read(part)
        except Unauthorized:
            continue  # a member that may be missing, but was signed
        except BadJson as problem:
            told += 1
            said = str(problem)
            assert f"`{name}`" in said or f"{name!r}" in said, said
            assert any(word in said for word in ("is missing", " no ", " none ")), said
            assert "is not a" not in said, said
    assert told


def test_null_is_not_missing() -> None:
    """A member that is null is there, with a value of a wrong type."""
    with pytest.raises(BadJson, match="`depth` is not an integer"):
        Event.parse(message() | {"depth": None}, ROOM_VERSIONS["11"])


def test_quote() -> None:
    """In place of a value, the word is not in quotes."""
    assert quote(MISSING) == "missing"
