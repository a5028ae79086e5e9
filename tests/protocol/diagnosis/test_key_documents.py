"""What is told of a key document: each mistake, made without our code."""

import base64
import hashlib
import json
from typing import Any

import nacl.signing
import pytest

from homeserver.protocol.diagnosis.hint import CODES, Hint
from homeserver.protocol.diagnosis.key_documents import Version, diagnose_key_document
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_DOCUMENT_BYTES
from homeserver.protocol.slices import run
from tests.support.plain_json import canonical

NOW = 1_800_000_000_000
THEM = ServerName.parse("them.example")
SEED = nacl.signing.SigningKey(b"1" * 32)
PUBLIC = base64.b64encode(bytes(SEED.verify_key)).decode().rstrip("=")
CERTIFICATE = b"certificate"

V2: dict[str, Any] = {
    "server_name": "them.example",
    "verify_keys": {"ed25519:a": {"key": PUBLIC}},
    "old_verify_keys": {},
    "valid_until_ts": NOW + 1000,
}
V1: dict[str, Any] = {
    "server_name": "them.example",
    "verify_keys": {"ed25519:a": PUBLIC},
    "tls_certificate": base64.b64encode(CERTIFICATE).decode(),
}


def signed(
    document: dict[str, Any],
    message: bytes | None = None,
    by: str = "them.example",
    key_id: str = "ed25519:a",
) -> bytes:
    """A document that is signed over `message`, or as it should be."""
    over = canonical(document) if message is None else message
    signature = base64.b64encode(SEED.sign(over).signature).decode().rstrip("=")
    return json.dumps({**document, "signatures": {by: {key_id: signature}}}).encode()


def diagnose(data: bytes, version: Version = 2) -> list[Hint]:
    """The hints on a document."""
    found = run(diagnose_key_document(data, THEM, version, NOW, CERTIFICATE))
    assert {hint.code for hint in found} <= CODES.keys()
    return found


def test_right() -> None:
    """There is no hint on a right document."""
    assert diagnose(signed(V2)) == []
    assert diagnose(signed(V1), 1) == []
    assert run(diagnose_key_document(signed(V1), THEM, 1, NOW)) == []
    old = {"ed25519:o": {"key": PUBLIC, "expired_ts": 5}}
    assert diagnose(signed({**V2, "old_verify_keys": old})) == []
    less = {k: v for k, v in V2.items() if k != "old_verify_keys"}
    assert diagnose(signed(less)) == []


MEMBERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"server_name": "other.example"}, ["document-name"]),
    ({"server_name": "https://them.example"}, ["name-url", "document-name"]),
    ({"server_name": None}, ["document-member"]),
    ({"verify_keys": []}, ["document-member", "document-unsigned"]),
    ({"verify_keys": {}}, ["document-member", "document-unsigned"]),
    (
        {"verify_keys": {f"ed25519:{n}": {} for n in range(101)}},
        ["document-member", "document-unsigned"],
    ),
    ({"verify_keys": {"ed25519:a": PUBLIC}}, ["document-key", "document-unsigned"]),
    (
        {"verify_keys": {"ed25519:a": {"key": PUBLIC}, "a": {"key": PUBLIC}}},
        ["document-key", "key-id-algorithm"],
    ),
    (
        {
            "verify_keys": {
                "ed25519:a": {"key": PUBLIC},
                "ed25519:b": {"key": bytes(SEED.verify_key).hex()},
            }
        },
        ["document-key", "base64-hex"],
    ),
    (
        {"verify_keys": {"ed25519:a": {"key": PUBLIC}, "ed25519:b": {"key": 3}}},
        ["document-key"],
    ),
    ({"old_verify_keys": {"ed25519:o": {"key": PUBLIC}}}, ["document-key"]),
    ({"old_verify_keys": []}, ["document-member"]),
    ({"valid_until_ts": None}, ["document-member"]),
    ({"valid_until_ts": True}, ["document-member"]),
    ({"valid_until_ts": NOW // 1000}, ["document-seconds"]),
    ({"valid_until_ts": NOW - 3_600_000}, ["document-expired"]),
    ({"valid_until_ts": -1}, ["document-expired"]),
]


@pytest.mark.parametrize(("changes", "expected"), MEMBERS)
def test_members(changes: dict[str, Any], expected: list[str]) -> None:
    """A member of a version 2 document is missing or wrong."""
    found = diagnose(signed({**V2, **changes}))
    assert [hint.code for hint in found] == expected


def test_expired() -> None:
    """An expired document says since when."""
    [hint] = diagnose(signed({**V2, "valid_until_ts": NOW - 9_000_000}))
    assert hint.text.startswith("the document expired 2.5 h ago")


MEMBERS_1: list[tuple[dict[str, Any], list[str]]] = [
    ({"tls_certificate": None}, ["document-member"]),
    ({"tls_certificate": "-----BEGIN CERTIFICATE-----"}, ["document-member"]),
    ({"tls_certificate": "*"}, ["document-member"]),
    ({"tls_certificate": "AAAA"}, ["document-certificate"]),
    (
        {"verify_keys": {"ed25519:a": {"key": PUBLIC}}},
        ["document-key", "document-unsigned"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), MEMBERS_1)
def test_members_of_version_1(changes: dict[str, Any], expected: list[str]) -> None:
    """A member of a version 1 document is missing or wrong."""
    found = diagnose(signed({**V1, **changes}), 1)
    assert [hint.code for hint in found] == expected


SIGNED: list[tuple[bytes, list[str]]] = [
    (canonical({**V2, "signatures": {}}), ["document-member-in"]),
    (canonical({k: v for k, v in V2.items() if k[0] != "o"}), ["document-member-out"]),
    (
        canonical({**{k: v for k, v in V2.items() if k[0] != "o"}, "signatures": {}}),
        ["document-member-in", "document-member-out"],
    ),
    (json.dumps(V2, sort_keys=True).encode(), ["json-spaces"]),
    (json.dumps(V2).encode(), ["json-spaces", "json-unsorted"]),
    (hashlib.sha256(canonical(V2)).digest(), ["digest-signed"]),
    (b"?", ["signature-unknown"]),
]


@pytest.mark.parametrize(("message", "expected"), SIGNED)
def test_signatures(message: bytes, expected: list[str]) -> None:
    """The document is signed over something else."""
    found = diagnose(signed(V2, message))
    assert [hint.code for hint in found] == expected


def test_seed() -> None:
    """The key is published as its private seed."""
    seed = base64.b64encode(bytes(SEED)).decode().rstrip("=")
    document = {**V2, "verify_keys": {"ed25519:a": {"key": seed}}}
    assert [hint.code for hint in diagnose(signed(document))] == ["key-is-seed"]


def test_unsigned() -> None:
    """The signatures are missing, of another server, or by another key."""
    for data in (
        canonical(V2),
        canonical({**V2, "signatures": []}),
        signed(V2, by="other.example"),
        signed(V2, key_id="ed25519:b"),
    ):
        assert [hint.code for hint in diagnose(data)] == ["document-unsigned"]


@pytest.mark.parametrize(
    ("signature", "code"), [("ff" * 64, "base64-hex"), (7, "base64-invalid")]
)
def test_malformed_signatures(signature: object, code: str) -> None:
    """A signature is not base64."""
    data = canonical({**V2, "signatures": {"them.example": {"ed25519:a": signature}}})
    assert [hint.code for hint in diagnose(data)] == [code]


@pytest.mark.parametrize(
    "data", [b"[]", b"{", b'{"a":1.5}', b" " * (MAX_DOCUMENT_BYTES + 1)]
)
def test_json(data: bytes) -> None:
    """What is no canonical JSON, or too large, is told alone."""
    assert [hint.code for hint in diagnose(data)] == ["document-json"]


def test_many_keys() -> None:
    """A document with as many keys as there may be ends in time."""
    keys = {f"ed25519:{n}": {"key": PUBLIC} for n in range(100)}
    document = {**V2, "verify_keys": keys}
    found = diagnose(signed(document, b"?", key_id="ed25519:7"))
    assert [hint.code for hint in found] == ["signature-unknown"]
