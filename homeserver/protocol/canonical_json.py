"""Strict parsing of JSON, canonical JSON, and unpadded base64.

Rules: all JSON of a peer goes through `parse`, or through `read` and then `check_read`;
or it is a body, of which `bodies` shows by its length that it has no flaw. The result
can be signed, stored and compared: no NaN, no lone surrogates, no duplicate members,
bounded nesting. `parse` accepts the numbers that the envelope of a request may have;
`check_numbers` accepts those of canonical JSON only.

Specification: Appendices, "Canonical JSON" and "Unpadded Base64".
"""

import binascii
import re
from collections.abc import Callable, Iterable
from typing import Self

import canonicaljson
import msgspec

from homeserver.protocol.errors import MISSING, BadJson, NotJson, TooLarge, quote
from homeserver.protocol.json_text import Outside, too_deep

Json = dict[str, object]
"""A JSON object. Its values are `object`, so that each is checked before use."""

Encoded = msgspec.Raw
"""Canonical JSON that is already encoded; `encode_integers` copies it."""


class Canonical(dict[str, object]):
    """A JSON object that is kept with its canonical JSON.

    All its numbers are those of canonical JSON. It must not be changed.
    """

    __slots__ = ("encoded",)

    encoded: bytes

    @classmethod
    def of(cls, value: Json, encoded: bytes) -> Self:
        """A JSON object with its canonical JSON."""
        own = cls(value)
        own.encoded = encoded
        return own


MAX_NESTING = 100  # ten times the nesting of any known event
MAX_READ_NESTING = 500  # half of Python's recursion limit, which the decoder has too

MAX_INTEGER = 2**53 - 1  # Canonical JSON: what a double holds exactly

# Several times what a transaction of fifty events of the largest size has. Two bytes of
# text can become a value of a hundred bytes of memory.
MAX_VALUES = 1_000_000

# For a request body before its signature is verified: fifty PDUs and a hundred EDUs of
# over a thousand values each. An event of a real room has about thirty.
MAX_REQUEST_VALUES = 200_000

_ITEMS = msgspec.json.Decoder(list[Encoded])


class _FloatFound(Exception):
    """A text has a float."""


def _find_float(_: str) -> float:
    raise _FloatFound


_WITHOUT_FLOATS = msgspec.json.Decoder(float_hook=_find_float)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")  # RFC 4648, section 5

_MAYBE_FLOAT = re.compile(rb"[0-9][.eE]")


def parse(data: bytes) -> object:
    """Parse one JSON text in UTF-8.

    Raises `NotJson` for text that is not JSON or has a number out of range, `TooLarge`
    for more than `MAX_VALUES` values, and `BadJson` for a duplicate member, for nesting
    deeper than `MAX_NESTING` and for integers beyond 64 bits. Floats, and integers up
    to 64 bits, are accepted even where canonical JSON forbids them.
    """
    check_size_of_json(data, MAX_VALUES)
    value = _decode(data, MAX_NESTING)
    check_read(data, Outside.of(data), msgspec.json.encode(value))
    return value


def check_read(data: bytes, outside: Outside, written: bytes) -> None:
    """Raise as `parse` for a text that `read` has read.

    `outside` is that of the text; `written` is the JSON of the value that was read.
    """
    outside.check_nesting(MAX_NESTING)
    outside.check_integers()
    # Outside strings there is one colon for each member, and no other. A duplicate
    # member was read once, so re-encoding loses a colon. Colons within strings are
    # unchanged, unless one is written as an escape.
    if b"\\u003" in data:
        data, written = outside.text, Outside.of(written).text
    if data.count(b":") != written.count(b":"):
        raise BadJson("a member occurs twice in one JSON object")


def check_size_of_json(data: bytes, most: int = MAX_REQUEST_VALUES) -> None:
    """Raise `TooLarge` for a text of more than `most` JSON values, without parsing it.

    Objects, lists and their items count; names of members do not. For a text that is
    not JSON the result is arbitrary.
    """
    # A value takes at least a byte, and most texts have fewer than `most` bytes.
    if len(data) > most and Outside.of(data).count_values() > most:
        raise TooLarge(f"the JSON has more than {most} values")


def read(data: bytes) -> tuple[object, bool]:
    """Read one JSON text leniently; returns its value, and whether it has a float.

    `check_read` then applies the rules of `parse`. The last of duplicate members wins.
    Nesting is limited by Python's recursion alone, integers to the length that Python
    converts. Raises `NotJson` and `BadJson`.
    """
    try:
        return _decode(data, MAX_READ_NESTING, _WITHOUT_FLOATS.decode), False
    except _FloatFound:
        return _decode(data, MAX_READ_NESTING), True


def count_members(data: bytes) -> int:
    """The number of members in all objects of a JSON text, duplicates included."""
    return Outside.of(data).text.count(b":")


def split(data: bytes) -> list[Encoded]:
    """The items of a JSON list, each as its text.

    Raises `NotJson` if the text is not a JSON list. Items are not checked further.
    """
    try:
        return _ITEMS.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(f"not a list in JSON: {error}") from None


def parse_object(data: bytes) -> Json:
    """Parse one JSON object; as `parse`, and `BadJson` for any other value."""
    return as_object(parse(data), "the body")


def not_a(kind: str, value: object, what: str) -> BadJson:
    """The error for a value that is missing, or not of a kind."""
    why = "missing" if value is MISSING else f"not {kind}"
    return BadJson(f"{what} is {why}")


def as_object(value: object, what: str) -> Json:
    """`value` as a JSON object; `BadJson`, which calls it `what`, if it is none."""
    if not isinstance(value, dict):
        raise not_a("a JSON object", value, what)
    return value


def as_text(value: object, what: str) -> str:
    """`value` as a string; `BadJson`, which calls it `what`, if it is none."""
    if not isinstance(value, str):
        raise not_a("a string", value, what)
    return value


def as_integer(value: object, what: str) -> int:
    """`value` as an integer; `BadJson`, which calls it `what`, if it is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise not_a("an integer", value, what)
    return value


def as_list(value: object, what: str) -> list[object]:
    """`value` as a list; `BadJson`, which calls it `what`, if it is none."""
    if not isinstance(value, list):
        raise not_a("a list", value, what)
    return value


def check_numbers(value: object) -> None:
    """Raise `BadJson` for a number that canonical JSON does not allow.

    Those are floats, and integers outside [-(2^53)+1, (2^53)-1].
    """
    if isinstance(value, Canonical):
        return
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
            raise BadJson(f"canonical JSON has no floats: {each}")
        elif isinstance(each, int) and not -MAX_INTEGER <= each <= MAX_INTEGER:
            raise BadJson(f"canonical JSON has no integers beyond 2^53-1: {each}")


def encode(value: object) -> bytes:
    """Canonical JSON of a value that `parse` may return.

    A float, which only an envelope or an event of room versions 1 to 5 may have, is
    encoded as canonicaljson does, as its sender most likely did.
    """
    if isinstance(value, Canonical):
        return value.encoded
    encoded = encode_integers(value)
    # Short texts rarely have what could be a float, in strings or outside.
    if _MAYBE_FLOAT.search(encoded) is not None and Outside.of(encoded).has_float:
        return encode_floats(value)
    return encoded


def encode_integers(value: object) -> bytes:
    """As `encode` and faster, for a value that passes `check_numbers`."""
    if isinstance(value, Canonical):
        return value.encoded
    # The output equals that of canonicaljson, and takes a fraction of the time.
    return msgspec.json.encode(value, order="sorted")


def encode_floats(value: object) -> bytes:
    """As `encode` and slower; for a value that is known to have a float."""
    return canonicaljson.encode_canonical_json(value)


def encode_base64(data: bytes) -> str:
    """Unpadded base64 in the standard alphabet."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def encode_urlsafe_base64(data: bytes) -> str:
    """Unpadded base64 in the URL-safe alphabet, as in event IDs since version 4."""
    encoded = binascii.b2a_base64(data, newline=False)
    return encoded.translate(_URL_SAFE, delete=b"=").decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode standard base64, with or without padding.

    Raises `BadJson` for any other character, which the library alone would skip.
    """
    unpadded = text.rstrip("=")
    padded = unpadded + "=" * (-len(unpadded) % 4)
    try:
        return binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        raise BadJson(f"not base64: {quote(text)}") from None


def _decode(
    data: bytes,
    max_nesting: int,
    decode: Callable[[bytes], object] = msgspec.json.decode,
) -> object:
    try:
        return decode(data)
    except RecursionError:
        raise too_deep(max_nesting) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise NotJson(f"not JSON: {error}") from None
