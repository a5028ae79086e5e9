"""The key documents of `domain`, the server of the specification's test vectors."""

from collections.abc import Callable
from typing import cast

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument, parse_v1, parse_v2
from homeserver.protocol.signing import SigningKey, sign
from tests.support.signing_vectors import DOMAIN, PUBLIC_KEY, signing_key

SECOND_KEY = signing_key(b"2" * 32, "ed25519:2")
OLD_KEY = signing_key(b"0" * 32, "ed25519:0")

CERTIFICATE = b"\x00\x01\x02"
VALID_UNTIL_TS = 1652262000000

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
