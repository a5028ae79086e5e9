"""Key documents as their servers make them, signed and checked."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import (
    KeyDocument,
    OldVerifyKey,
    build_v1,
    build_v2,
    parse_v1,
    parse_v2,
)
from homeserver.protocol.signing import SigningKey


def signing_key(key_id: KeyId, seed: bytes = b"") -> SigningKey:
    """A signing key; the same one for the same arguments."""
    return SigningKey(key_id, NaclSigningKey(sha256(key_id.encode() + seed).digest()))


def key_document(
    server_name: ServerName,
    keys: Sequence[SigningKey],
    until: int | None,
    old: Iterable[OldVerifyKey] = (),
) -> KeyDocument:
    """The document of a server, as it is fetched: version 1 without an end."""
    if until is None:
        return parse_v1(encode(build_v1(server_name, b"DER", keys)), server_name)
    return parse_v2(encode(build_v2(server_name, keys, old, until)), server_name)


def public(key: SigningKey) -> str:
    """The public half of a key, in base64."""
    return encode_base64(key.verify_key.key)
