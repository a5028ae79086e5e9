"""Which mistake explains an X-Matrix header that does not parse."""

import pytest

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.diagnosis.headers import diagnose_destination, diagnose_header
from homeserver.protocol.diagnosis.hint import (
    CODES,
    MAX_TEXT,
    Hint,
    as_sentence,
    compared,
)
from homeserver.protocol.errors import BadAuthorization
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.xmatrix import Authorization

SIGNATURE = encode_base64(b"\xff" * 64)
URLSAFE = SIGNATURE.replace("/", "_")

HEADERS = [
    ("Bearer secret", ["header-scheme"]),
    ("", ["header-scheme"]),
    (f'X-Matrix origin="a",sig="{SIGNATURE}"', ["header-missing"]),
    ("X-Matrix ", ["header-missing"]),
    (f'X-Matrix origin="a",key="a_1",sig="{SIGNATURE}"', ["key-id-algorithm"]),
    (f'X-Matrix origin="a",key="ed25519:a",sig="{URLSAFE}"', ["base64-urlsafe"]),
    (f'X-Matrix origin="a",key="ed25519:a",sig="{"ff" * 64}"', ["base64-hex"]),
    (
        f'X-Matrix origin="a",key="ed25519:a",sig="{SIGNATURE[:-1]}*"',
        ["base64-invalid"],
    ),
    (f'X-Matrix origin="a",key="ed25519:a",sig="{SIGNATURE[:5]}"', ["base64-invalid"]),
    (f'X-Matrix origin="a",key="ed25519:a",sig="{SIGNATURE[:8]}"', ["base64-invalid"]),
    (
        f'X-Matrix origin="a",key="ed25519:a",sig="{encode_base64(bytes(99))}"',
        ["signature-with-message"],
    ),
    (f'X-Matrix origin="https://a/",key="ed25519:a",sig="{SIGNATURE}"', ["name-url"]),
    (
        f'X-Matrix origin="a",destination="@x:b",key="ed25519:a",sig="{SIGNATURE}"',
        ["name-user"],
    ),
    (f'X-Matrix origin="a";key="ed25519:a";sig="{SIGNATURE}"', ["header-separator"]),
    (f'X-Matrix origin="a" key="ed25519:a" sig="{SIGNATURE}"', ["header-separator"]),
    (f'X-Matrix origin: "a",key: "ed25519:a",sig: "{SIGNATURE}"', ["header-separator"]),
    (f'X-Matrix origin="a",key="ed25519:a",sig="{SIGNATURE}",origin="b"', []),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_header(header: str, expected: list[str]) -> None:
    """Each header is refused, and the hint says why."""
    with pytest.raises(BadAuthorization):
        Authorization.parse(header)
    found = diagnose_header(header)
    assert [hint.code for hint in found] == expected
    assert {hint.code for hint in found} <= CODES.keys()
    for secret in ("secret", SIGNATURE[:9], URLSAFE[:9], "ff" * 9):
        assert secret not in str(found)


def test_right_header() -> None:
    """There is no hint on a header that parses."""
    header = f'X-Matrix origin="a",destination="b",key="ed25519:a",sig="{SIGNATURE}"'
    assert diagnose_header(header) == []


US = ServerName.parse("us.example:8449")
DESTINATIONS = [
    ("us.example:8449", None),
    (None, None),
    ("US.example:8449", "name-case"),
    ("us.example", "name-port"),
    ("matrix.us.example", "name-delegated"),
    ("others.example", "name-other"),
    ("them.example", "names-exchanged"),
]


@pytest.mark.parametrize(("sent", "code"), DESTINATIONS)
def test_destination(sent: str | None, code: str | None) -> None:
    """A `destination` that is not ours is told beside ours."""
    destination = None if sent is None else ServerName.parse(sent)
    authorization = Authorization(
        ServerName.parse("them.example"), destination, KeyId("ed25519:a"), bytes(64)
    )
    found = diagnose_destination(authorization, US, ["matrix.us.example"])
    assert [hint.code for hint in found] == ([] if code is None else [code])
    for hint in found:
        assert (hint.received, hint.expected) == (sent, US.name)


def test_long_texts() -> None:
    """Long texts are shortened around the first difference."""
    before, after = "a" * 5000, "c" * 5000
    hint = compared("method", "x", before + "1" + after, before + "2" + after)
    assert hint.received is not None
    assert hint.expected is not None
    assert len(hint.received) == len(hint.expected) == MAX_TEXT
    assert hint.received.startswith("...a")
    assert "a1c" in hint.received
    assert "a2c" in hint.expected
    same = compared("method", "x", before + after, before)
    assert same.received is not None
    assert "aacc" in same.received


SENTENCES = [
    (Hint("method", "a b"), "; hint: a b"),
    (Hint("method", "a b", "x"), "; hint: a b: it has 'x'"),
    (Hint("method", "a b", None, "\n"), "; hint: a b: expected '\\n'"),
    (Hint("method", "a", "x", "y"), "; hint: a: it has 'x', and should have 'y'"),
]


@pytest.mark.parametrize(("hint", "expected"), SENTENCES)
def test_sentences(hint: Hint, expected: str) -> None:
    """A hint ends an error message, with both texts escaped."""
    assert as_sentence([hint]) == expected
