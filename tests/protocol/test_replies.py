"""What a reply to a transaction says, and what is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import REMARKS as REMARK_CODES
from homeserver.protocol.replies import (
    answered_pdus,
    find_event_id,
    parse_reply,
    remarks_on,
    sent_pdus,
)

A, B = EventId("$a"), EventId("$b")

# (body, whether it is from a server of 2014, the reply, how many problems)
REPLIES: list[tuple[bytes, bool, Json | None, int]] = [
    (b"{}", False, {}, 0),
    (b' {"pdus": {"$a": {}}}\n', False, {"pdus": {"$a": {}}}, 0),
    (b'{"x": 1.5}', False, {"x": 1.5}, 0),
    (b"{}", True, {}, 0),
    (b"null", True, None, 0),
    (b"", True, None, 0),
    (b" \r\n", True, None, 0),
    (b'{"pdus": {}, "pdus": {}}', False, None, 1),
    (b'{"x": 123456789012345678901234567890}', False, None, 1),
    (b'{"x": ' + b"[" * 150 + b"]" * 150 + b"}", False, None, 1),
]


@pytest.mark.parametrize(("body", "is_of_2014", "reply", "problems"), REPLIES)
def test_reply(
    body: bytes,
    is_of_2014: bool,  # noqa: FBT001 - a column of the table
    reply: Json | None,
    problems: int,
) -> None:
    """An object is a reply, however badly it is written; so is 2014's nothing."""
    found, wrong = parse_reply(body, is_of_2014=is_of_2014)
    assert found == reply
    assert len(wrong) == problems
    assert all(
        each.startswith("the content of the reply is ignored: ") for each in wrong
    )


# (body, whether it is from a server of 2014)
NO_REPLIES: list[tuple[bytes, bool, type[ProtocolError]]] = [
    (b"null", False, BadJson),
    (b"", False, NotJson),
    (b"[]", True, BadJson),
    (b"[200, {}]", False, BadJson),
    (b'[{"a": 1, "a": 1}]', True, BadJson),
    (b'"{}"', False, BadJson),
    (b"0", True, BadJson),
    (b"<html>", True, NotJson),
    (b'{"pdus": {', False, NotJson),
    (b'{"pdus": "\xff"}', False, NotJson),
    (b"{} {}", False, NotJson),
    (b"nullnull", True, NotJson),
    (b"\xef\xbb\xbfnull", True, NotJson),
]


@pytest.mark.parametrize(("body", "is_of_2014", "error"), NO_REPLIES)
def test_no_reply(
    body: bytes,
    is_of_2014: bool,  # noqa: FBT001 - a column of the table
    error: type[ProtocolError],
) -> None:
    """Anything else acknowledges nothing."""
    with pytest.raises(error):
        parse_reply(body, is_of_2014=is_of_2014)


@given(st.binary(max_size=50), st.booleans())
def test_nothing_breaks_it(body: bytes, is_of_2014: bool) -> None:  # noqa: FBT001
    """Whatever comes is a reply or a named problem."""
    try:
        parse_reply(body, is_of_2014=is_of_2014)
    except (NotJson, BadJson):
        return


MEMBER: Json = {
    "type": "m.room.member",
    "room_id": "!r:a.test",
    "sender": "@a:a.test",
    "state_key": "@a:a.test",
    "origin": "a.test",
    "origin_server_ts": 1,
    "depth": 2,
    "prev_events": [],
    "auth_events": [],
    "event_id": "$sent:a.test",
    "content": {
        "membership": "join",
        "join_authorised_via_users_server": "@b:a.test",
        "third_party_invite": {"signed": {}, "display_name": "x"},
    },
}
KINDS: list[Json] = [
    MEMBER,
    MEMBER | {"type": "m.room.join_rules", "content": {"join_rule": "x", "allow": []}},
    MEMBER | {"type": "m.room.aliases", "content": {"aliases": ["#a:a.test"]}},
    MEMBER | {"type": "m.room.power_levels", "content": {"invite": 5, "ban": 1.5}},
    MEMBER | {"type": "m.room.redaction", "content": {"redacts": "$x"}},
    MEMBER | {"type": "m.room.message", "content": {"body": "?>"}},
    MEMBER | {"type": "m.room.create", "content": {"creator": "@a:a.test", "x": 1}},
]


@pytest.mark.parametrize("version", list(ROOM_VERSIONS))
@pytest.mark.parametrize("pdu", KINDS, ids=[str(pdu["type"]) for pdu in KINDS])
def test_event_id_of_any_version(pdu: Json, version: str) -> None:
    """A PDU is found under the ID that its room version gives it, and no other one."""
    own_id = event_id(pdu, ROOM_VERSIONS[version])
    assert find_event_id(pdu, {"$x": {}, own_id: {}}) == own_id
    assert find_event_id(pdu, {own_id[:-1]: {}}) is None


def test_pdu_without_an_id() -> None:
    """What has no event ID in some versions is looked for in the others."""
    pdu = {k: v for k, v in MEMBER.items() if k != "event_id"}
    assert find_event_id(pdu, {"$sent:a.test": {}}) is None
    own_id = event_id(pdu, ROOM_VERSIONS["3"])
    assert find_event_id(pdu, {own_id: {}}) == own_id
    assert find_event_id({}, {}) is None


def test_sent_pdus() -> None:
    """The PDUs of a transaction are read from its bytes."""
    body = encode({"pdus": [MEMBER, {"x": 1.5}], "edus": [{}], "origin": "a.test"})
    assert list(sent_pdus(body)) == [MEMBER, {"x": 1.5}]
    assert list(sent_pdus(b"{}")) == []


# (reply, the ID that was found for each PDU, what is remarked)
REMARKS: list[tuple[Json, list[EventId | None], list[str]]] = [
    ({"pdus": {}}, [], []),
    ({"pdus": {"$a": {}, "$b": {}}, "x": 1}, [B, A], []),
    ({}, [], ["the reply has no `pdus`"]),
    ({"x": 1}, [None], ["the reply has no `pdus`"]),
    ({"pdus": []}, [None], ["`pdus` of the reply is not a JSON object"]),
    ({"pdus": None}, [], ["`pdus` of the reply is not a JSON object"]),
    ({"pdus": {"$b": {}}}, [], ["the reply names '$b', which was not sent"]),
    (
        {"pdus": {"$b": {"error": "no"}}},
        [None],
        [
            "the reply names '$b', which was not sent",
            "the destination rejects '$b': 'no'",
            "the reply does not name PDU 0",
        ],
    ),
    ({"pdus": {"$a": {}}}, [A, None], ["the reply does not name PDU 1"]),
    ({"pdus": {"$a": {"error": "no"}}}, [A], ["the destination rejects '$a': 'no'"]),
    ({"pdus": {"$a": {"error": ""}}}, [A], ["the destination rejects '$a': ''"]),
    ({"pdus": {"$a": {"error": None}}}, [A], []),
    ({"pdus": {"$a": {"error": 5}}}, [A], ["the destination rejects '$a': 5"]),
    ({"pdus": {"$a": "ok"}}, [A], ["the result of '$a' is not a JSON object: 'ok'"]),
    (
        {"pdus": {"$a": {"error": "x" * 9000}}},
        [A],
        [f"the destination rejects '$a': '{'x' * 496}..."],
    ),
]


@pytest.mark.parametrize(("reply", "found", "remarks"), REMARKS)
def test_remarks(reply: Json, found: list[EventId | None], remarks: list[str]) -> None:
    """What is wrong with a reply is told, a sentence each."""
    given = remarks_on(reply, found)
    assert [each.text for each in given] == remarks
    assert {each.code for each in given} <= REMARK_CODES.keys()


def test_remarks_are_bounded() -> None:
    """A reply with a hundred thousand lies gets as many remarks as one with sixty."""
    remarks = remarks_on({"pdus": {f"$x{n}": {} for n in range(100_000)}}, [])
    assert len(remarks) == 61
    assert str(remarks[-1]) == "the reply has more errors"


def test_answered_pdus() -> None:
    """What is said of PDUs is an object, or nothing is said."""
    assert answered_pdus({"pdus": {"$a": {}}}) == {"$a": {}}
    assert answered_pdus({"pdus": ["$a"]}) == {}
    assert answered_pdus({}) == {}
