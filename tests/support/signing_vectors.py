"""The keys and signatures of the specification's test vectors, and seeds of others."""

from typing import cast

import nacl.signing
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import SigningKey, VerifyKey

# Appendices, "Cryptographic Test Vectors"; the public key was computed from the seed.
SEED = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
PUBLIC_KEY = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
DOMAIN = ServerName.parse("domain")

SIGNATURE_OF_EMPTY = (
    "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7"
    "Xg4ahLwYGYZzuHGZKM5ZAQ"
)
SIGNATURE_OF_ONE_TWO = (
    "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZ"
    "hG6kYdD13EIMJpvhJI+6Bw"
)
VECTORS: list[tuple[Json, str]] = [
    ({}, SIGNATURE_OF_EMPTY),
    ({"one": 1, "two": "Two"}, SIGNATURE_OF_ONE_TWO),
]


def signing_key(seed: bytes, key_id: str) -> SigningKey:
    """The signing key that grows from 32 bytes."""
    return SigningKey(parse_key_id(key_id), nacl.signing.SigningKey(seed))


KEY = signing_key(decode_base64(SEED), "ed25519:1")
OTHER_KEY = signing_key(bytes(32), "ed25519:2")


def signature_texts(value: Json, server_name: str = "domain") -> dict[str, str]:
    """The base64 signatures that an object has of one server."""
    signatures = cast("dict[str, dict[str, str]]", value["signatures"])
    return signatures[server_name]


def keys(*several: SigningKey) -> dict[KeyId, VerifyKey]:
    """The verify keys of signing keys, by their ID."""
    return {key.key_id: key.verify_key for key in several}


SEEDS = st.binary(min_size=32, max_size=32)
