"""Base64 of both alphabets: written without padding, read with and without it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import (
    decode_base64,
    encode_base64,
    encode_urlsafe_base64,
)
from homeserver.protocol.errors import BadJson
from tests.support.tables import cases

BASE64: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"f", "Zg"),
    (b"fo", "Zm8"),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg"),
    (b"fooba", "Zm9vYmE"),
    (b"foobar", "Zm9vYmFy"),
    (b"\xfb\xff", "+/8"),
]


@pytest.mark.parametrize(("data", "text"), BASE64)
def test_base64(data: bytes, text: str) -> None:
    """Base64 is written without padding, and read back."""
    assert encode_base64(data) == text
    assert decode_base64(text) == data


@pytest.mark.parametrize(("data", "text"), BASE64)
def test_padded_base64(data: bytes, text: str) -> None:
    """Base64 with its padding is read as well."""
    assert decode_base64(text + "=" * (-len(text) % 4)) == data


def test_urlsafe_base64() -> None:
    """The URL-safe alphabet has `-` and `_` for `+` and `/`, and no padding either."""
    assert encode_urlsafe_base64(b"\xfb\xff") == "-_8"


NO_BASE64: list[tuple[str, str]] = [
    ("one character", "Z"),
    ("five characters", "Zm9vY"),
    ("blank", "Zm 8"),
    ("line break", "Zm8\n"),
    ("URL-safe alphabet", "-_8"),
    ("padding before the end", "Zg==Zg"),
    ("padding first", "=Zg"),
    ("not ASCII", "Zm9\u0432"),
    ("fullwidth letter", "\uff3ag"),
    ("lone surrogate", "\ud800Zg"),
    ("NUL", "Zg\0"),
]


@cases("text", NO_BASE64)
def test_no_base64(text: str) -> None:
    """Text with any other character, or of an impossible length, is refused."""
    with pytest.raises(BadJson, match=r"^not base64: "):
        decode_base64(text)


@given(st.binary())
def test_base64_decodes_to_what_was_encoded(data: bytes) -> None:
    """Any bytes survive base64."""
    assert decode_base64(encode_base64(data)) == data
