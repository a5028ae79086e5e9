"""Canonical JSON, held against two other libraries.

Rules: each value has one text, however its sender wrote it; numbers that canonical
JSON does not have are refused at any depth.
"""

import json

import canonicaljson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    MAX_INTEGER,
    check_numbers,
    encode,
    encode_integers,
    parse,
    split,
)
from homeserver.protocol.errors import BadJson, NotJson
from tests.support.json_trees import CANONICAL, ENVELOPE, NOTATIONS
from tests.support.tables import cases

# Appendices, "Canonical JSON", examples; the last two are ours: the order of keys
# is that of code points (not of UTF-16), and few characters are escaped.
VECTORS: list[tuple[str, str, str]] = [
    ("empty", "{}", "{}"),
    ("blanks", '{\n  "one": 1,\n  "two": "Two"\n}', '{"one":1,"two":"Two"}'),
    ("order", '{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    (
        "nested",
        """{"auth": {"success": true, "mxid": "@john.doe:example.com",
            "profile": {"display_name": "John Doe", "three_pids": [
                {"medium": "email", "address": "john.doe@example.org"},
                {"medium": "msisdn", "address": "123456789"}]}}}""",
        (
            '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":'
            '"John Doe","three_pids":[{"address":"john.doe@example.org","medium":'
            '"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}'
        ),
    ),
    ("raw characters", '{"a": "日本語"}', '{"a":"日本語"}'),
    ("order of characters", '{"本": 2, "日": 1}', '{"日":1,"本":2}'),
    ("escaped character", r'{"a": "\u65E5"}', '{"a":"日"}'),
    ("null", '{"a": null}', '{"a":null}'),
    ("minus zero", '{"a": -0}', '{"a":0}'),
    (
        "order of code points",
        r'{"\ud800\udc00":1,"\uff00":2,"a":3,"A":4,"":5}',
        '{"":5,"A":4,"a":3,"\uff00":2,"\U00010000":1}',
    ),
    (
        "escapes",
        r'["\u0000\u0008\u0009\u000A\u000b\u000C\u000D\u001F\"\\\/\u007F\u2028"]',
        r'["\u0000\b\t\n\u000b\f\r\u001f\"\\/' + '\x7f\u2028"]',
    ),
]


@cases("text expected", VECTORS)
def test_vector(text: str, expected: str) -> None:
    """What the specification gives as an example is written as it says."""
    value = parse(text.encode())
    check_numbers(value)
    assert encode(value) == expected.encode()


def test_float_is_written_as_canonicaljson_does() -> None:
    """A float that an old room's event may have is written as its sender did.

    The specification's example has 10000000000 here, an integer. It speaks to those
    who write; who verifies must repeat the bytes that the sender's library signed,
    and a document that has to be canonical is refused for its float.
    """
    value = parse(b'{"a": -0, "b": 1e10}')
    assert encode(value) == b'{"a":0,"b":10000000000.0}'
    with pytest.raises(BadJson, match="no floats"):
        check_numbers(value)


CANONICAL_NUMBERS: list[object] = [
    0,
    MAX_INTEGER,
    -MAX_INTEGER,
    True,
    None,
    "1.5",
    {"a": [1, {"b": 2}]},
]


@pytest.mark.parametrize("value", CANONICAL_NUMBERS)
def test_canonical_number(value: object) -> None:
    """Integers that a double holds exactly, and what is no number, pass the check."""
    check_numbers(value)


FORBIDDEN_NUMBERS: list[tuple[object, str]] = [
    (1.5, "canonical JSON has no floats: 1.5"),
    (1.0, "canonical JSON has no floats: 1.0"),
    (-0.0, "canonical JSON has no floats: -0.0"),
    (float("nan"), "canonical JSON has no floats: nan"),
    (2**53, "canonical JSON has no integers beyond 2^53-1: 9007199254740992"),
    (-(2**53), "canonical JSON has no integers beyond 2^53-1: -9007199254740992"),
    ({"a": 0.5}, "canonical JSON has no floats: 0.5"),
    ([0, 0.5], "canonical JSON has no floats: 0.5"),
    ({"a": [{"b": [0, 0.5]}]}, "canonical JSON has no floats: 0.5"),
]


@pytest.mark.parametrize(("value", "message"), FORBIDDEN_NUMBERS)
def test_forbidden_number(value: object, message: str) -> None:
    """A float, or an integer beyond a double, is refused at any depth."""
    with pytest.raises(BadJson) as refusal:
        check_numbers(value)
    assert str(refusal.value) == message


@given(CANONICAL | ENVELOPE)
@example({"\U00010000": 1, "\uffff": 2, "": 3})
@example("\x00\x08\x0b\x1f\x7f\x80\u2028\u2029\ufeff\ufffe")
def test_encode_equals_canonicaljson(value: object) -> None:
    """Every value is written as the reference implementation writes it."""
    assert encode(value) == canonicaljson.encode_canonical_json(value)


@given(CANONICAL | ENVELOPE)
def test_parse_undoes_encode(value: object) -> None:
    """A value that was written is read as the same value."""
    assert parse(encode(value)) == value


@given(st.lists(CANONICAL | ENVELOPE))
def test_what_was_split_is_written_as_it_was(items: list[object]) -> None:
    """Items of a list are the same bytes in another list, or in an object."""
    data = encode(items)
    parts = split(data)
    assert len(parts) == len(items)
    assert encode_integers(parts) == data
    assert encode_integers({"b": parts, "a": 1}) == b'{"a":1,"b":' + data + b"}"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[", b"[{]", b'["a]', b"[1] 2", b"[" * 100_000]
)
def test_no_list_to_split(data: bytes) -> None:
    """What is no list, or is damaged, cannot be split."""
    with pytest.raises(NotJson):
        split(data)


@given(CANONICAL)
def test_canonical_value_passes_the_check(value: object) -> None:
    """No value that canonical JSON has is refused for its numbers."""
    check_numbers(value)


@given(CANONICAL | ENVELOPE, st.sampled_from(NOTATIONS))
def test_notation_does_not_matter(value: object, notation: json.JSONEncoder) -> None:
    """Escapes, blanks and order of the sender do not change what is signed."""
    assert encode(parse(notation.encode(value).encode())) == encode(value)
