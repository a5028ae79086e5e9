"""The body of a request: read as its sender has read it, and looked at item by item."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.bodies import FlawedItem, check_body, read_body
from homeserver.protocol.canonical_json import Canonical, as_list, encode, parse
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, TooLarge
from tests.support.body_readings import both_ways
from tests.support.json_trees import TREES, written

GOOD = b'{"depth": 1, "content": {"a": [1.5, -1]}}'


def nested(levels: int) -> bytes:
    """An object of that many levels."""
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


# An item of a list, what is wrong with it, and how it is read for the signature.
FLAWED: list[tuple[bytes, str, object]] = [
    (b'{"a": 18446744073709551616}', "an integer beyond 64 bits", {"a": 2**64}),
    (b'{"a": [-99999999999999999999]}', "an integer beyond 64", {"a": [1 - 10**20]}),
    (b'{"a": ' + b"9" * 4300 + b"}", "an integer beyond 64", {"a": 10**4300 - 1}),
    (b'{"a": 1, "a": 2}', "a member occurs twice", {"a": 2}),
    (b'{"a": 1, "\\u0061": 2}', "a member occurs twice", {"a": 2}),
    (b'{"a": [{"b": 1, "b": ":"}]}', "a member occurs twice", {"a": [{"b": ":"}]}),
    (nested(101), "JSON nested more than 100 deep", json.loads(nested(101))),
    (nested(498), "JSON nested more than 100 deep", json.loads(nested(498))),
]


@pytest.mark.parametrize("name", ["pdus", "edus"])
@pytest.mark.parametrize(("item", "problem", "value"), FLAWED)
def test_flawed_item(name: str, item: bytes, problem: str, value: object) -> None:
    """A flaw in a PDU or EDU is its own; the others are read as always."""
    data = b'{"x": ":[", "%b": [%b , %b,%b], "y": {}}' % (
        name.encode(),
        GOOD,
        item,
        GOOD,
    )
    body = read_body(data)
    good = json.loads(GOOD)
    assert body.content == {"x": ":[", name: [good, value, good], "y": {}}
    checked = check_body(body)
    assert checked == body.content
    first, flawed, last = as_list(checked[name], "the list")
    assert isinstance(flawed, FlawedItem)
    assert flawed.problem.startswith(problem)
    assert flawed.text == item.decode()
    assert not isinstance(first, FlawedItem)
    assert not isinstance(last, FlawedItem)
    assert json.loads(encode(checked)) == json.loads(data)


def test_nesting_of_an_item_counts_from_the_item() -> None:
    """What stands around an item does not make it deeper."""
    data = b'{"pdus": [%b]}' % nested(100)
    [pdu] = as_list(check_body(read_body(data))["pdus"], "PDUs")
    assert not isinstance(pdu, FlawedItem)


# An item that is no object stays what it is, whatever is in it.
ITEMS = [b"5", b"[1, {}]", nested(101)[5:-1], b"[%b]" % GOOD, b'[{"a": 1, "a": 2}]']


@pytest.mark.parametrize("item", ITEMS)
def test_item_that_is_no_object(item: bytes) -> None:
    """Refusing it is for the parser of an object."""
    data = b'{"pdus": [%b, {"a": 1, "a": 2}]}' % item
    value, flawed = as_list(check_body(read_body(data))["pdus"], "PDUs")
    assert value == json.loads(item)
    assert not isinstance(value, FlawedItem)
    assert isinstance(flawed, FlawedItem)


# What is refused before the signature is looked at.
UNREADABLE: list[tuple[bytes, type[ProtocolError], str]] = [
    (b"", NotJson, "not JSON"),
    (b"{", NotJson, "not JSON"),
    (b'{"pdus": [NaN]}', NotJson, "not JSON"),
    (b'{"pdus": ["\\ud800"]}', NotJson, "not JSON"),
    (b'{"pdus": [%b]}' % (b"9" * 4301), NotJson, "not JSON"),
    (b"[]", BadJson, "the body is not a JSON object"),
    (b'{"pdus": [%b]}' % nested(499), BadJson, "JSON nested more than 500 deep"),
    (b'{"pdus": [%b]}' % nested(100_000), BadJson, "JSON nested more than 500 deep"),
    (b'{"pdus": [%b0]}' % (b"0," * 200_000), TooLarge, "more than 200000 values"),
]


@pytest.mark.parametrize(("data", "error", "why"), UNREADABLE)
def test_what_costs_the_reader(
    data: bytes, error: type[ProtocolError], why: str
) -> None:
    """What has no bounds, or no meaning, is refused whole."""
    with pytest.raises(error, match=why):
        read_body(data)


def test_any_nesting_beyond_the_limit() -> None:
    """Wherever Python's recursion ends, it is nested too deep, and nothing worse."""
    for levels in range(500, sys.getrecursionlimit() + 1):
        with pytest.raises(BadJson, match="JSON nested more than 500 deep"):
            read_body(b'{"pdus": [%b5%b]}' % (b'{"a":' * levels, b"}" * levels))


# What is wrong with the envelope.
BAD_ENVELOPES: list[bytes] = [
    b'{"pdus": [{}], "pdus": [{}]}',
    b'{"pdus": [{"a": 1}], "\\u0070dus": []}',
    b'{"a": 1, "pdus": [{"a": 1, "a": 2}], "a": 2}',
    b'{"pdus": {"a": 1, "a": 2}}',
    b'{"pdus": [], "a": [{"a": 1, "a": 2}]}',
    b'{"pdus": [], "a": {"pdus": [{"a": 1, "a": 2}]}}',
    b'{"pdus": [], "origin_server_ts": 99999999999999999999}',
    b'{"pdus": [], "a": %b}' % nested(101),
]


@pytest.mark.parametrize("data", BAD_ENVELOPES)
def test_bad_envelope(data: bytes) -> None:
    """What is wrong outside of PDUs and EDUs costs the whole body."""
    body = read_body(data)
    with pytest.raises(BadJson):
        check_body(body)


# A body, and whether it is certain to have no flaw.
BODIES: list[tuple[bytes, bool]] = [
    (b'{"pdus":[{"b":[{}],"a":" : \\n"}],"edus":[{}],"a":[{"x":-1}]}', True),
    (b'{"pdus":[{"a":"\\u0041"}]}', False),
    (b'{"pdus":[{"a":1,"a":2}]}', False),
    (b'{"pdus":[{"a":1,"\\u0061":2}]}', False),
    (b'{"pdus":[{"a":1}],"pdus":[{"a":2}]}', False),
    (b'{"a":{"b":1,"b":2},"pdus":[{"a": 1}]}', False),
    (b'{"pdus":[{"a":999999999999999}]}', True),
    (b'{"pdus":[{"a":-9007199254740992}]}', False),
    (b'{"pdus":[{"a":18446744073709551616}]}', False),
    (b'{"pdus":[{"a":9007199254740991}]}', False),
    (b'{"pdus":[{"a":"1234567890123456"}]}', True),
    (b'{"pdus":[%b{}],"edus":[%b{}]}' % (b"{}," * 49, b"{}," * 99), True),
    (b'{"pdus":[%b{}],"edus":[%b{}]}' % (b"{}," * 49, b"{}," * 100), False),
    (b'{"pdus":[%b1]}' % (b"1," * 150), False),
    (b'{"pdus":[{"a":1.5}],"edus":[{}]}', False),
    (b'{"pdus":[{"a":1e2}],"edus":[{}]}', False),
    (b'{"pdus":[],"a":0.5}', False),
    (b'{"pdus":[%b,%b]}' % (nested(98), nested(98)), True),
    (b'{"pdus":[{},%b]}' % nested(99), False),
    (b'{"a":%b,"pdus":[{}]}' % nested(98), False),
    (b'{"a":%b,"pdus":[]}' % nested(98), True),
    (b'{"pdus":{"a":1},"edus":5}', True),
    (b'{"pdus":[1,[{}],"a",null,{}]}', True),
]


@pytest.mark.parametrize(("items", "are_kept"), [(150, True), (151, False)])
def test_canonical_json_of_many_items(items: int, *, are_kept: bool) -> None:
    """Of more items than a transaction has, none is made."""
    checked = check_body(read_body(b'{"edus": [%b{}]}' % (b"{}," * (items - 1))))
    [*edus] = as_list(checked["edus"], "edus")
    assert {isinstance(each, Canonical) for each in edus} == {are_kept}


@pytest.mark.parametrize(("data", "is_plain"), BODIES)
def test_plain_bodies(data: bytes, *, is_plain: bool) -> None:
    """A plain body is read in the fast way, with the same result."""
    assert (read_body(data).outside is None) == is_plain
    both_ways(data)


@given(TREES.map(written), st.lists(TREES.map(encode), max_size=3))
def test_both_ways_agree(tree: str, items: list[bytes]) -> None:
    """Whatever a body has, both ways give one result."""
    both_ways(f'{{"a":{tree},"pdus":['.encode() + b",".join(items) + b"]}")


def is_refused(text: str) -> bool:
    """Whether a JSON text would not be read alone."""
    try:
        parse(text.encode())
    except BadJson:
        return True
    return False


@given(st.lists(TREES.map(written), max_size=4))
def test_items_are_judged_as_they_are_alone(items: list[str]) -> None:
    """An object is flawed where `parse` refuses it, and in no other case."""
    data = f'{{"a": "b", "edus": [{" , ".join(items)}]}}'.encode()
    checked = check_body(read_body(data))
    assert checked == json.loads(data)
    for text, value in zip(items, as_list(checked["edus"], "EDUs"), strict=True):
        is_flawed = isinstance(value, dict) and is_refused(text)
        assert isinstance(value, FlawedItem) == is_flawed
