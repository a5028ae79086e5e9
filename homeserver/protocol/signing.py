"""Signing JSON objects, and verifying the signatures of a server.

Rules: `verify` takes parsed values only; `parse_signatures` is the one reader of the
`signatures` of a peer. ed25519 is the only algorithm; signatures of others are ignored,
as the specification demands.

Specification: Appendices, "Signing JSON".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import nacl.bindings
import nacl.exceptions
import nacl.signing
from msgspec import Struct

from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    decode_base64,
    encode,
    encode_base64,
)
from homeserver.protocol.errors import BadJson, InvalidParam, Unauthorized, listed
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id

KEY_BYTES = 32  # RFC 8032: an ed25519 public key
SIGNATURE_BYTES = 64  # RFC 8032: an ed25519 signature

# Server-server API, "Validating hashes and signatures on received events": the state of
# the room says which key has this ID, and no key document does.
POLICY_KEY_ID = KeyId("ed25519:policy_server")

Signatures = Mapping[KeyId, bytes | BadJson]
"""One server's signatures of one object: {key ID: 64 bytes}.

A malformed signature is represented by the error. It is raised if the key is known.
"""


class VerifyKey(Struct, frozen=True):
    """The public half of a signing key."""

    key_id: KeyId
    key: bytes
    """32 bytes."""

    @classmethod
    def parse(cls, key_id: KeyId, text: str) -> Self:
        """Decode a key from base64; `BadJson` if it does not have 32 bytes."""
        key = decode_base64(text)
        if len(key) != KEY_BYTES:
            raise BadJson(
                f"key {key_id} has {len(key)} bytes; ed25519 keys have {KEY_BYTES}"
            )
        return cls(key_id, key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is a signature of this key over `message`."""
        # The binding checks no length; the class around it would take 5 % longer.
        if len(signature) != SIGNATURE_BYTES or len(self.key) != KEY_BYTES:
            return False
        try:
            nacl.bindings.crypto_sign_open(signature + message, self.key)
        except nacl.exceptions.BadSignatureError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that this server signs with."""

    key_id: KeyId
    key: nacl.signing.SigningKey = field(repr=False)

    @property
    def verify_key(self) -> VerifyKey:
        """The public key that verifies this key's signatures."""
        return VerifyKey(self.key_id, bytes(self.key.verify_key))

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of this key's signature over `message`."""
        return self.key.sign(message).signature


def signed_bytes(value: Json) -> bytes:
    """The signed bytes: canonical JSON without `signatures` and `unsigned`."""
    return encode(
        {k: v for k, v in value.items() if k not in {"signatures", "unsigned"}}
    )


def sign(value: Json, server_name: ServerName, keys: Iterable[SigningKey]) -> Json:
    """A copy of `value` with the signature of each key added.

    Raises `BadJson` if the `signatures` in `value` are malformed.
    """
    message = signed_bytes(value)
    signatures = dict(as_object(value.get("signatures", {}), "`signatures`"))
    own = as_object(signatures.get(server_name.name, {}), "`signatures` of one server")
    signatures[server_name.name] = own | {
        key.key_id: encode_base64(key.sign(message)) for key in keys
    }
    return {**value, "signatures": signatures}


def parse_signatures(
    value: Json, server_name: ServerName
) -> dict[KeyId, bytes | BadJson]:
    """The ed25519 signatures of `server_name` in `value`; empty if there are none.

    Raises `BadJson` if `signatures` or the server's part of it is not an object.
    """
    signatures = as_object(value.get("signatures", {}), "`signatures`")
    own = signatures.get(server_name.name, {})
    if not isinstance(own, dict):
        raise BadJson(f"`signatures` of {server_name} is not a JSON object")
    found: dict[KeyId, bytes | BadJson] = {}
    for text, encoded in own.items():
        try:
            key_id = parse_key_id(text)
        except InvalidParam:
            continue  # another algorithm, or an invalid key ID
        try:
            found[key_id] = _parse_signature(encoded, key_id, server_name)
        except BadJson as problem:
            found[key_id] = problem
    return found


def event_signatures(pdu: Json, server_name: ServerName) -> Signatures:
    """The signatures that an event has of a server, without a policy server's.

    Raises as `parse_signatures` does.
    """
    found = parse_signatures(pdu, server_name)
    found.pop(POLICY_KEY_ID, None)
    return found


def _parse_signature(encoded: object, key_id: KeyId, server_name: ServerName) -> bytes:
    if not isinstance(encoded, str):
        raise BadJson(f"the signature by {key_id} of {server_name} is not a string")
    signature = decode_base64(encoded)
    if len(signature) != SIGNATURE_BYTES:
        raise BadJson(
            f"the signature by {key_id} of {server_name} has {len(signature)} bytes; "
            f"ed25519 signatures have {SIGNATURE_BYTES}"
        )
    return signature


def verify(
    message: bytes, signatures: Signatures, keys: Mapping[KeyId, VerifyKey], what: str
) -> frozenset[KeyId]:
    """Verify every signature by a key in `keys`; returns the IDs of these keys.

    Signatures by other keys are ignored, even malformed ones: the specification has a
    signature decoded after its key was found. `what` names the message in errors.
    Raises `Unauthorized` if a signature does not verify or none is by such a key, and
    `BadJson` if one by such a key is malformed.
    """
    return frozenset(verifications(message, signatures, keys, what))


def verifications(
    message: bytes, signatures: Signatures, keys: Mapping[KeyId, VerifyKey], what: str
) -> Iterator[KeyId]:
    """As `verify`, in steps: yields the ID of each key before it is used."""
    for key_id, signature in known_signatures(signatures, keys, what):
        yield key_id
        if not keys[key_id].verify(message, signature):
            raise Unauthorized(f"signature does not verify: {key_id} over {what}")


def known_signatures(
    signatures: Signatures, keys: Mapping[KeyId, VerifyKey], what: str
) -> Iterator[tuple[KeyId, bytes]]:
    """The signatures by a key in `keys`, in order of the key IDs; at least one.

    Raises `Unauthorized` if there is none, and `BadJson` at a malformed one.
    """
    known = signatures.keys() & keys.keys()
    if not known:
        raise Unauthorized(
            f"{what} is not signed by a known key: it has signatures by "
            f"{listed(signatures)}; known keys: {listed(keys)}"
        )
    for key_id in sorted(known):
        signature = signatures[key_id]
        if isinstance(signature, BadJson):
            raise signature
        yield key_id, signature
