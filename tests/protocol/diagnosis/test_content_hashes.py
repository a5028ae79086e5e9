"""Which mistake explains a content hash: each mistake, made without our code."""

import base64
import hashlib
import json
from collections.abc import Callable

import pytest

from tests.support.diagnosed_events import (
    SEED,
    Write,
    codes,
    diagnose,
    hashed_over,
    made,
    redacted_9,
    unpadded,
)
from tests.support.plain_json import canonical, without

HASHES: list[tuple[Write, str]] = [
    (lambda e: canonical(without(e, "signatures", "hashes")), "hash-member-in"),
    (
        lambda e: canonical({**json.loads(hashed_over(e)), "hashes": {}}),
        "hash-member-in",
    ),
    (
        lambda e: canonical({**json.loads(hashed_over(e)), "origin": "them.example"}),
        "hash-member-in",
    ),
    (
        lambda e: canonical(without(json.loads(hashed_over(e)), "age_ts")),
        "hash-member-out",
    ),
    (lambda e: canonical(without(redacted_9(e), "hashes")), "hash-redacted"),
    (lambda e: json.dumps(json.loads(hashed_over(e))).encode(), "json-spaces"),
    (
        lambda e: json.dumps(
            json.loads(hashed_over(e)), separators=(",", ":"), ensure_ascii=True
        ).encode(),
        "json-escapes",
    ),
    (lambda e: b"?", "hash-unknown"),
]


@pytest.mark.parametrize(("hashed", "code"), HASHES)
def test_content_hash(hashed: Write, code: str) -> None:
    """The content hash is over something else; both hashes are told."""
    event = made(hashed)
    found = diagnose(event)
    assert code in [hint.code for hint in found]
    if not code.startswith("json"):
        right = unpadded(hashlib.sha256(hashed_over(event)).digest())
        [hint] = found
        assert (hint.received, hint.expected) == (event["hashes"]["sha256"], right)


def test_two_members() -> None:
    """Two members that are in the hash, or not, are both told."""
    event = made(lambda e: canonical(without(e, "signatures", "hashes", "age_ts")))
    assert codes(event) == ["hash-member-in", "hash-member-out"]


@pytest.mark.parametrize(
    ("encode", "code"),
    [
        (lambda digest: digest.hex(), "base64-hex"),
        (lambda digest: base64.urlsafe_b64encode(digest).decode(), "base64-urlsafe"),
        (lambda digest: "?", "base64-invalid"),
    ],
)
def test_encoding_of_the_hash(encode: Callable[[bytes], str], code: str) -> None:
    """The content hash is not base64."""
    event = made()
    event["hashes"] = {"sha256": encode(b"\xff" * 32)}
    event["signatures"]["them.example"]["ed25519:a"] = unpadded(
        SEED.sign(canonical(redacted_9(event))).signature
    )
    assert codes(event) == [code]
