"""Which form of JSON that is not canonical explains a request's signature."""

import hashlib
from collections.abc import Callable

import pytest

from homeserver.protocol.diagnosis.hint import MAX_TEXT
from tests.support.diagnosed_requests import BODY, codes, diagnose, signed_object
from tests.support.plain_json import Object, canonical, compact, dump

FORMS: list[tuple[str, Callable[[Object], bytes], list[str]]] = [
    ("spaces", lambda o: dump(o, sort_keys=True), ["json-spaces"]),
    ("unsorted", lambda o: dump(o, separators=(",", ":")), ["json-unsorted"]),
    (
        "escapes",
        lambda o: dump(o, sort_keys=True, separators=(",", ":"), ensure_ascii=True),
        ["json-escapes"],
    ),
    (
        "Python's default",
        lambda o: dump(o, ensure_ascii=True),
        ["json-spaces", "json-unsorted", "json-escapes"],
    ),
    ("Go", lambda o: go(canonical(o)), ["json-escapes"]),
    ("Go unsorted", lambda o: go(compact(o)), ["json-unsorted", "json-escapes"]),
    ("slashes", lambda o: canonical(o).replace(b"/", b"\\/"), ["json-escapes"]),
    (
        "PHP",
        lambda o: dump(o, separators=(",", ":"), ensure_ascii=True).replace(
            b"/", b"\\/"
        ),
        ["json-unsorted", "json-escapes"],
    ),
    ("line feed", lambda o: canonical(o) + b"\n", ["json-newline"]),
    ("SHA-256", lambda o: hashlib.sha256(canonical(o)).digest(), ["digest-signed"]),
    ("SHA-512", lambda o: hashlib.sha512(canonical(o)).digest(), ["digest-signed"]),
]


def go(text: bytes) -> bytes:
    """A JSON text with the escapes of Go's library."""
    for char in "<>&":
        text = text.replace(char.encode(), f"\\u{ord(char):04x}".encode())
    return text


@pytest.mark.parametrize(("write", "expected"), [each[1:] for each in FORMS])
def test_forms(write: Callable[[Object], bytes], expected: list[str]) -> None:
    """The JSON was not canonical when it was signed."""
    found = diagnose(write(signed_object()), sent=compact(BODY))
    assert [hint.code for hint in found] == expected
    for hint in found:
        assert len(hint.received or "") <= MAX_TEXT
        assert len(hint.expected or "") <= MAX_TEXT


def test_form_of_another_order() -> None:
    """Members that are not sorted may be in another order, also without a body."""
    order = ("origin", "destination", "method", "uri")
    members = signed_object(None)
    message = compact({name: members[name] for name in order})
    assert codes(message, sent=None) == ["json-unsorted"]
