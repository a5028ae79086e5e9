"""Two ways to one event: as nearly all are, and member by member.

Five thousand random events are compared here, alone and in a body. A million:

    FUZZ_EXAMPLES=50000 .venv/bin/python -m pytest tests/protocol/events -k both_ways
"""

from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given

from homeserver.protocol.bodies import FlawedItem, check_body, read_body
from homeserver.protocol.canonical_json import (
    Canonical,
    Json,
    as_list,
    as_object,
    check_numbers,
    encode,
    parse_object,
)
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events import event, event_form
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, RoomVersion
from tests.support.fuzzing import fuzzed, randoms
from tests.support.mutations import mutated_json
from tests.support.pdus import create, message

EVENTS = 20  # of each example

_TEXTS = [
    *["a" * 63, "a" * 64, "a" * 255, "a" * 256, "é" * 63, "é" * 127, "é" * 128],
    *["\U00010000" * 63, "\U00010000" * 64],
]
_MANY = [["$e"] * 10, ["$e"] * 11, ["$e"] * 20, ["$e"] * 21]
SEEDS: list[Json] = [
    *[message(version) for version in ("1", "5", "6", "11")],
    *[create(version) for version in ("1", "10", "12")],
    message("12", room_id="!" + "a" * 43, state_key="", unsigned={"age": 1}),
    *[message() | {name: text} for name in ("type", "state_key") for text in _TEXTS],
    *[message(room_id=f"!{text}:b.org"[:256], event_id=text) for text in _TEXTS],
    *[message(prev_events=each, auth_events=each[:10]) for each in _MANY],
    *[message(auth_events=each) for each in _MANY],
    message(content={"x": 2**53 - 1, "y": -(2**53) + 1, "z": [{"a": 12345}]}),
]


def outcome(pdu: Json, room_version: RoomVersion) -> Event | tuple[type, str]:
    """The event, or why it is none."""
    try:
        return Event.parse(pdu, room_version)
    except ProtocolError as problem:
        return type(problem), str(problem)


def by_member(pdu: Json, room_version: RoomVersion) -> Event | tuple[type, str]:
    """The same in the slow way: a plain object, looked at member by member."""
    plain = parse_object(encode(pdu))
    assert type(plain) is dict
    with patch.object(event, "read_form", event_form._read_by_member):
        return outcome(plain, room_version)


def both(pdu: Json, room_version: RoomVersion) -> None:
    """Compare the two ways, for the object alone and in a body."""
    slow = by_member(pdu, room_version)
    assert outcome(pdu, room_version) == slow
    content = check_body(read_body(encode({"pdus": [pdu, {}], "edus": []})))
    received = as_object(as_list(content["pdus"], "the PDUs")[0], "the PDU")
    assert not isinstance(received, FlawedItem)
    assert outcome(received, room_version) == slow
    if isinstance(received, Canonical):
        check_numbers(dict(received))
        assert received.encoded == encode(dict(received))


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_edges(version: str) -> None:
    """At the edge of each size both ways agree."""
    for pdu in SEEDS:
        both(pdu, ROOM_VERSIONS[version])


@fuzzed
@given(randoms)
def test_both_ways_agree(random: Random) -> None:
    """Whatever a PDU looks like, both ways give one event, or one error."""
    versions = list(ROOM_VERSIONS.values())
    for _ in range(EVENTS):
        pdu = parse_object(encode(mutated_json(random, SEEDS)))
        both(pdu, random.choice(versions))


def test_usual_events_take_the_fast_way() -> None:
    """The slow way is not needed for an event as nearly all are."""
    with patch.object(event_form, "_read_by_member", None):
        for version in ("6", "11"):
            Event.parse(message(version), ROOM_VERSIONS[version])
        Event.parse(create("12"), ROOM_VERSIONS["12"])


def test_numbers_of_a_body() -> None:
    """Where a number is none of canonical JSON, or is large, no slices are kept."""
    for number, is_kept in [
        (b"1", True),
        (b"-123456789012345", True),
        (b"1234567890123456", False),
        (b"1.0", False),
        (b"1e1", False),
        (b"1E1", False),
        (b'"1.5 2e7 12345678901234567890"', True),
    ]:
        body = b'{"pdus":[{"a":1}],"edus":[{"b":2}],"c":%b}' % number
        content = check_body(read_body(body))
        for name in ("pdus", "edus"):
            [item] = as_list(content[name], name)
            assert isinstance(item, Canonical) == is_kept
