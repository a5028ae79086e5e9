"""A JSON text outside its strings: its numbers, its nesting, how many values it has.

Rules: a text is scanned as a whole, without a step of Python for each value: a body of
thirteen megabytes must not block the reactor for seconds. For a text that is not JSON
the results are arbitrary.

Specification: RFC 8259; Appendices, "Canonical JSON".
"""

import re
from typing import Self

from msgspec import Struct

from homeserver.protocol.errors import BadJson

# No integer of the protocol exceeds 64 bits, and Python's conversion of very long
# integers to text fails or takes quadratic time.
_MAX_ENVELOPE_INTEGER = 2**64 - 1

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+])[0-9]{20,}(?![0-9.eE])")

_ONE_DIGIT = bytes.maketrans(b"123456789", b"000000000")

# As many digits as 2^53-1 has. Most numbers have fewer, and few IDs as many.
_LARGE = b"0" * 16


class Outside(Struct, frozen=True):
    """What a JSON text has outside its strings."""

    text: bytes
    """The JSON text with each string replaced by a single quote character."""

    zeros: bytes
    """`text` with each digit replaced by a zero."""

    @classmethod
    def of(cls, data: bytes) -> Self:
        """That of a JSON text in UTF-8."""
        # Backslashes occur in strings only. In a run of them each pair is an escaped
        # backslash; one that is left over escapes the quote after it.
        if b"\\" in data:
            data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        text = b'"'.join(data.split(b'"')[::2])
        return cls(text, text.translate(_ONE_DIGIT))

    @property
    def has_float(self) -> bool:
        """Whether there is a number with a fraction or an exponent."""
        zeros = self.zeros
        return b"0." in zeros or b"0e" in zeros or b"0E" in zeros

    @property
    def has_canonical_numbers(self) -> bool:
        """Whether all numbers are certain to be those of canonical JSON."""
        return not (self.has_float or _LARGE in self.zeros)

    def count_values(self) -> int:
        """The number of values: the whole text, and the items of lists and objects."""
        # A list or object has one item more than commas, or is empty.
        dense = self.text.translate(None, delete=b" \t\r\n")
        opened = dense.count(b"[") + dense.count(b"{")
        empty = dense.count(b"[]") + dense.count(b"{}")
        return 1 + dense.count(b",") + opened - empty

    def check_integers(self) -> None:
        """Raise `BadJson` for an integer beyond 64 bits."""
        if b"0" * 20 not in self.zeros:
            return
        for digits in _LONG_INTEGER.findall(self.text):
            if len(digits) > 20 or int(digits) > _MAX_ENVELOPE_INTEGER:
                raise BadJson("an integer beyond 64 bits")

    def check_nesting(self, most: int) -> None:
        """Raise `BadJson` for deeper nesting."""
        # Each round removes the innermost pairs.
        brackets = self.text.translate(_SQUARE, delete=_NO_BRACKETS)
        for _ in range(most):
            if not brackets:
                return
            brackets = brackets.replace(b"[]", b"")
        if brackets:
            raise too_deep(most)


def has_large_number(data: bytes) -> bool:
    """Whether an integer of a JSON text may be one that canonical JSON does not allow.

    It may be where one has sixteen digits or more.
    """
    if _LARGE not in data.translate(_ONE_DIGIT):
        return False
    return not Outside.of(data).has_canonical_numbers


def count_brackets(data: bytes) -> int:
    """How many lists and objects begin in a JSON text at most; it is no deeper.

    Brackets within strings count as well.
    """
    return data.count(b"[") + data.count(b"{")


def too_deep(most: int) -> BadJson:
    """The error for JSON that is nested more than `most` deep."""
    return BadJson(f"JSON nested more than {most} deep")
