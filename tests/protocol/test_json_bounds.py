"""How deep JSON may be nested, and how many values and which integers it may have.

Rules: what is at a bound is read, and one more is refused, before it costs memory.
"""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    MAX_NESTING,
    check_numbers,
    check_size_of_json,
    encode,
    parse,
)
from homeserver.protocol.errors import BadJson, ProtocolError, TooLarge
from tests.support.json_trees import CANONICAL, NOTATIONS
from tests.support.tables import cases


def nested_lists(depth: int) -> bytes:
    """Lists in each other, so deep."""
    return b"[" * depth + b"]" * depth


def nested_objects(depth: int) -> bytes:
    """Objects in each other, so deep."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


NESTINGS: list[Callable[[int], bytes]] = [nested_lists, nested_objects]


@pytest.mark.parametrize("nested", NESTINGS)
def test_nesting_at_the_limit(nested: Callable[[int], bytes]) -> None:
    """JSON nested as deep as the limit is read, checked and written."""
    data = nested(MAX_NESTING)
    value = parse(data)
    check_numbers(value)
    assert encode(value) == data


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 500, 1_000, 100_000])
@pytest.mark.parametrize("nested", NESTINGS)
def test_nesting_beyond_the_limit(nested: Callable[[int], bytes], depth: int) -> None:
    """JSON nested deeper is refused, also where Python itself gives up."""
    with pytest.raises(BadJson, match=r"^JSON nested more than 100 deep$"):
        parse(nested(depth))


def test_scalar_at_the_limit_is_no_nesting() -> None:
    """What the deepest list holds does not count as another level."""
    assert parse(b"[" * MAX_NESTING + b"1" + b"]" * MAX_NESTING)


@pytest.mark.parametrize("sign", [b"", b"-"])
@pytest.mark.parametrize("digits", [21, 40, 400, 5_000, 1_000_000])
def test_huge_integer(digits: int, sign: bytes) -> None:
    """An integer beyond 64 bits is refused, also beyond what Python converts."""
    with pytest.raises(ProtocolError, match=r"integer beyond 64 bits|out of range"):
        parse(b'{"a":[' + sign + b"1" * digits + b"]}")


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**20 - 1])
def test_first_integers_beyond_64_bits(number: int) -> None:
    """One that has no more digits than the largest that is read is refused, too."""
    with pytest.raises(BadJson, match="integer beyond 64 bits"):
        parse(b"[%d]" % number)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[", "]"), ('{"a":', "}"), ('{"a":[', "]}"), ('[{"a":', "}]")],
    ids=["lists", "objects", "lists in objects", "objects in lists"],
)
def test_nesting_counts_lists_and_objects_alike(opening: str, closing: str) -> None:
    """A hundred levels pass, of whatever kind they are, and one more does not."""
    levels = opening.count("[") + opening.count("{")
    deepest = opening * (100 // levels) + "0" + closing * (100 // levels)
    parse(deepest.encode())
    with pytest.raises(BadJson, match="nested"):
        parse(f"[{deepest}]".encode())


# A text with `{}` for what is repeated, what that is, the values in each of those, and
# those around them.
COUNTED: list[tuple[str, bytes, bytes, int, int]] = [
    ("numbers", b"[%b 1]", b"1,", 1, 2),
    ("strings", b'[%b""]', b'"",', 1, 2),
    ("empty lists", b"[%b[]]", b"[],", 1, 2),
    ("empty objects with blanks", b"[%b{ \n}]", b"{ \t\r\n},", 1, 2),
    ("members", b'{%b"a":1}', b'"a":1,', 1, 2),
    ("lists of one", b"[%b[1]]", b'["a"],', 2, 3),
    ("objects of two", b"[%b{}]", b'{"a":{},"b":[]},', 3, 2),
]


@cases("text part values around", COUNTED)
def test_values_are_counted(text: bytes, part: bytes, values: int, around: int) -> None:
    """As many values as are allowed pass, and one more does not."""
    times = 600 // values
    data = text.replace(b"%b", part * times)
    count = times * values + around
    assert len(data) > count
    check_size_of_json(data, count)
    with pytest.raises(TooLarge, match=f"more than {count - 1} values"):
        check_size_of_json(data, count - 1)


def test_limits_of_values() -> None:
    """The body of a request has 200,000 values at most, any other text a million."""
    for most, check in (200_000, check_size_of_json), (1_000_000, parse):
        check(b"[" + b"0," * (most - 2) + b"0]")
        with pytest.raises(TooLarge, match=f"{most} values"):
            check(b"[" + b"0," * (most - 1) + b"0]")


def test_too_many_values_are_not_even_read() -> None:
    """A text of too many values is refused before it turns out to be no JSON."""
    with pytest.raises(TooLarge, match="200000 values"):
        check_size_of_json(b"[" + b"0," * 200_000)
    with pytest.raises(TooLarge, match="1000000 values"):
        parse(b"[" + b"0," * 1_000_000)


@given(CANONICAL, st.sampled_from(NOTATIONS))
def test_every_value_counts_once(value: object, notation: json.JSONEncoder) -> None:
    """The number of values is that of the value as it is read."""

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + sum(map(count, value.values()))
        if isinstance(value, list):
            return 1 + sum(map(count, value))
        return 1

    # Blanks do not count, and let the text be longer than it has values.
    data = notation.encode([value, *[0] * 9]).encode() + b" " * 9
    check_size_of_json(data, count(value) + 10)
    with pytest.raises(TooLarge):
        check_size_of_json(data, count(value) + 9)


def test_what_looks_like_many_values_in_a_string_is_one() -> None:
    """Commas, colons and brackets inside of strings count for nothing."""
    text = ",:[{" * 300_000
    check_size_of_json(f'["{text}"]'.encode())
    assert parse(f'["{text}"]'.encode()) == [text]
