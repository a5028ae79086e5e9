"""JSON in, strictly; canonical JSON out; unpadded base64.

Rules of the room: every byte of a peer's JSON comes through `parse`, once. What it
lets through can be signed, stored and compared: no NaN, no lone surrogates, no
member twice, no nesting without end. Numbers are looser in a request's envelope
than in a signed document: `parse` takes any, `check_numbers` canonical ones only.

Specification: Appendices, "Canonical JSON" and "Unpadded Base64".
"""

import base64
import re
from collections.abc import Iterable

import canonicaljson
import msgspec

from homeserver.protocol.errors import BadJson, NotJson, TooLarge, quote

Json = dict[str, object]
"""A JSON object. Its values are `object`, so that each is checked before use."""

Encoded = msgspec.Raw
"""Canonical JSON that was made before; `encode_integers` takes it as it is."""

MAX_NESTING = 100  # ten times what any event nests
MAX_READ_NESTING = 500  # half of Python's recursion limit, which the decoder has too

MAX_INTEGER = 2**53 - 1  # Canonical JSON: what a double holds exactly

# Integers beyond 64 bits have no meaning anywhere in the protocol, and Python's
# conversion of very long ones to text fails or takes quadratic time.
_MAX_ENVELOPE_INTEGER = 2**64 - 1

# What a transaction of fifty events of the largest size has, several times over. A
# value takes up to a hundred bytes of memory: two in the text can make it fifty times.
MAX_VALUES = 1_000_000

# Of the body of a request, before its signature is verified: fifty PDUs and a hundred
# EDUs of a thousand values each. An event of a real room has about thirty.
MAX_REQUEST_VALUES = 200_000

_ITEMS = msgspec.json.Decoder(list[Encoded])

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+])[0-9]{20,}(?![0-9.eE])")

_ONE_DIGIT = bytes.maketrans(b"123456789", b"000000000")


def parse(data: bytes) -> object:
    """Read one JSON text, UTF-8.

    Raises `NotJson` for what is not JSON or has a number that no program can hold,
    `TooLarge` for more than `MAX_VALUES` values, and `BadJson` for a member that
    stands twice in one object, for nesting deeper than `MAX_NESTING` and for integers
    beyond 64 bits. Floats and other integers that canonical JSON forbids pass.
    """
    check_size_of_json(data, MAX_VALUES)
    value = _decode(data, MAX_NESTING)
    check_read(data, value)
    return value


def check_read(data: bytes, value: object) -> None:
    """Refuse what `parse` refuses, of a text that `read` has read as `value`."""
    outside = _outside(data)
    _check_nesting(outside, MAX_NESTING)
    if b"0" * 20 in outside.translate(_ONE_DIGIT):
        _check_integers(outside)
    # Outside strings a colon stands once for each member, and only there. What was
    # written twice was read once. Within strings there are as many as before, unless
    # one is written as an escape.
    written = msgspec.json.encode(value)
    if b"\\u003" in data:
        data, written = outside, _outside(written)
    if data.count(b":") != written.count(b":"):
        raise BadJson("a member stands twice in one JSON object")


def check_size_of_json(data: bytes, most: int = MAX_REQUEST_VALUES) -> None:
    """Refuse with `TooLarge` a text of more than `most` JSON values, unread.

    Objects, lists and what stands in them count; names of members do not. A text that
    is not JSON passes, or does not.
    """
    # Each takes a byte at least, and most texts have fewer bytes.
    if len(data) > most and _count_values(_outside(data)) > most:
        raise TooLarge(f"the JSON has more than {most} values")


def read(data: bytes) -> object:
    """Read one JSON text as most programs do; whoever wants less asks `check_read`.

    Of a member that stands twice the last one is taken. Nesting is bounded by
    `MAX_READ_NESTING`, integers by what Python converts. Raises `NotJson`, `BadJson`.
    """
    value = _decode(data, MAX_READ_NESTING)
    # Most texts have fewer brackets.
    if data.count(b"[") + data.count(b"{") > MAX_READ_NESTING:
        _check_nesting(_outside(data), MAX_READ_NESTING)
    return value


def count_members(data: bytes) -> int:
    """How many members the objects of a JSON text have, as it is written."""
    return _outside(data).count(b":")


def split(data: bytes) -> list[Encoded]:
    """The items of a list that `encode` made, each as it stands there.

    Raises `NotJson` for what it can not have made. What stands in an item is not
    looked at otherwise.
    """
    try:
        return _ITEMS.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(f"not a list in JSON: {error}") from None


def parse_object(data: bytes) -> Json:
    """Read one JSON object; as `parse`, and `BadJson` for any other JSON."""
    return as_object(parse(data), "the body")


def as_object(value: object, what: str) -> Json:
    """`value`, known to be a JSON object; else `BadJson`, naming it as `what`."""
    if not isinstance(value, dict):
        raise BadJson(f"{what} is not a JSON object")
    return value


def as_text(value: object, what: str) -> str:
    """`value`, known to be a string; else `BadJson`, naming it as `what`."""
    if not isinstance(value, str):
        raise BadJson(f"{what} is not a string")
    return value


def as_integer(value: object, what: str) -> int:
    """`value`, known to be an integer; else `BadJson`, naming it as `what`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadJson(f"{what} is not an integer")
    return value


def as_list(value: object, what: str) -> list[object]:
    """`value`, known to be a list; else `BadJson`, naming it as `what`."""
    if not isinstance(value, list):
        raise BadJson(f"{what} is not a list")
    return value


def check_numbers(value: object) -> None:
    """Refuse with `BadJson` the numbers that canonical JSON does not have.

    Those are floats, and integers outside [-(2^53)+1, (2^53)-1].
    """
    if isinstance(value, dict):
        values: Iterable[object] = value.values()
    elif isinstance(value, list):
        values = value
    else:
        values = [value]
    for each in values:
        if isinstance(each, (dict, list)):
            check_numbers(each)
        elif isinstance(each, float):
            raise BadJson(f"canonical JSON has no floats: {each!r}")
        elif isinstance(each, int) and not -MAX_INTEGER <= each <= MAX_INTEGER:
            raise BadJson(f"canonical JSON has no integers beyond 2^53-1: {each}")


def encode(value: object) -> bytes:
    """Canonical JSON of a value that `parse` returned, or that is built like one.

    A float, which only an envelope or an event of room versions 1 to 5 may have, is
    written as canonicaljson writes it, which is how its sender most likely did.
    """
    encoded = encode_integers(value)
    if _has_float(encoded):
        return canonicaljson.encode_canonical_json(value)
    return encoded


def encode_integers(value: object) -> bytes:
    """As `encode`, of a value whose numbers `check_numbers` lets pass, and faster."""
    # Equals canonicaljson's output, several times as fast.
    return msgspec.json.encode(value, order="sorted")


def encode_base64(data: bytes) -> str:
    """Unpadded base64 in the standard alphabet."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def encode_urlsafe_base64(data: bytes) -> str:
    """Unpadded base64 in the URL-safe alphabet, as in event IDs of version 4 on."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64(text: str) -> bytes:
    """Read standard base64, with or without padding.

    Raises `BadJson` for any other character (the library alone would skip it).
    """
    unpadded = text.rstrip("=")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except ValueError:
        raise BadJson(f"not base64: {quote(text)}") from None


def _decode(data: bytes, max_nesting: int) -> object:
    try:
        value: object = msgspec.json.decode(data)
    except RecursionError:
        raise _too_deep(max_nesting) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise NotJson(f"not JSON: {error}") from None
    return value


def _too_deep(max_nesting: int) -> BadJson:
    return BadJson(f"JSON nested more than {max_nesting} deep")


# The following look at a text as a whole, without a step of Python for each value:
# whoever sends thirteen megabytes must not make everybody else wait for seconds.


def _outside(data: bytes) -> bytes:
    """What stands outside the strings of a JSON text; a quote for each of those."""
    # Backslashes stand in strings alone. Of several in a row, each pair is one that
    # was meant, and one that is left over takes its meaning from the quote after it.
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b'"'.join(data.split(b'"')[::2])


def _count_values(outside: bytes) -> int:
    """How many values there are: the whole, and what stands in lists and objects.

    One of those has one value more than commas, or is empty.
    """
    dense = outside.translate(None, delete=b" \t\r\n")
    opened = dense.count(b"[") + dense.count(b"{")
    empty = dense.count(b"[]") + dense.count(b"{}")
    return 1 + dense.count(b",") + opened - empty


def _check_integers(outside: bytes) -> None:
    """Refuse integers that are too long."""
    for digits in _LONG_INTEGER.findall(outside):
        if len(digits) > 20 or int(digits) > _MAX_ENVELOPE_INTEGER:
            raise BadJson("an integer beyond 64 bits")


def _check_nesting(outside: bytes, most: int) -> None:
    """Refuse what nests too deep, by taking the innermost brackets away in turn."""
    brackets = outside.translate(_SQUARE, delete=_NO_BRACKETS)
    for _ in range(most):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _too_deep(most)


def _has_float(encoded: bytes) -> bool:
    """Whether a JSON text has a number with a fraction or an exponent."""
    outside = _outside(encoded).translate(_ONE_DIGIT)
    return b"0." in outside or b"0e" in outside or b"0E" in outside
