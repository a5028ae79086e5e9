"""The key documents of `domain`, the server of the specification's test vectors."""

from collections.abc import Callable
from typing import cast

import nacl.signing
import pytest

from homeserver.protocol.canonical_json import Json, decode_base64, encode
from homeserver.protocol.identifiers import ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument, parse_v1, parse_v2
from homeserver.protocol.signing import SigningKey, sign

DOMAIN = ServerName.parse("domain")


def signing_key(seed: bytes, key_id: str) -> SigningKey:
    """The signing key that grows from 32 bytes."""
    return SigningKey(parse_key_id(key_id), nacl.signing.SigningKey(seed))


# Appendices, "Cryptographic Test Vectors": the seed and the ID of the key.
KEY = signing_key(
    decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"), "ed25519:1"
)
PUBLIC_KEY = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
SECOND_KEY = signing_key(b"2" * 32, "ed25519:2")
OLD_KEY = signing_key(b"0" * 32, "ed25519:0")

CERTIFICATE = b"\x00\x01\x02"
VALID_UNTIL_TS = 1652262000000

# The signatures below were computed with an independent library.
DOCUMENT_V1: Json = {
    "server_name": "domain",
    "tls_certificate": "AAEC",
    "verify_keys": {"ed25519:1": PUBLIC_KEY},
}

DOCUMENT_V2: Json = {
    "old_verify_keys": {},
    "server_name": "domain",
    "valid_until_ts": VALID_UNTIL_TS,
    "verify_keys": {"ed25519:1": {"key": PUBLIC_KEY}},
}

Parse = Callable[[bytes, ServerName], KeyDocument]

VERSIONS = [
    pytest.param(parse_v1, DOCUMENT_V1, id="v1"),
    pytest.param(parse_v2, DOCUMENT_V2, id="v2"),
]


def signed(document: Json, *keys: SigningKey) -> bytes:
    """The bytes of a document, signed as `domain` with the given keys."""
    return encode(sign(document, DOMAIN, keys))


def listing(document: Json, entries: Json) -> Json:
    """The document with more entries under `verify_keys`."""
    listed = cast("Json", document["verify_keys"])
    return {**document, "verify_keys": listed | entries}
