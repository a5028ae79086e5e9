"""Key documents, in which a server publishes its keys: version 1 of 2014, version 2.

Rules: a document that `parse_v1` or `parse_v2` returned names the server that was asked
for, and is signed by a key that it lists. That proves only that its author has the key.
That the author is the server is proven by the connection (`key_document_proof`).
signedjson, the reference implementation, signs and verifies them (`signed_documents`).

Specification: Server-server API, "Retrieving server keys"; the November 2014 text,
"Retrieving Server Keys", for version 1.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    as_object,
    as_text,
    check_numbers,
    decode_base64,
    encode_base64,
    not_a,
    parse_object,
)
from homeserver.protocol.errors import MISSING, BadJson, Unauthorized, quote
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_entries import (
    build_fingerprints,
    first_invalid,
    parse_fingerprints,
    read_entries,
)
from homeserver.protocol.signing import (
    Signatures,
    SigningKey,
    VerifyKey,
    known_signatures,
    parse_signatures,
    signed_bytes,
)

V1_PATH = "/_matrix/key/v1"
V2_PATH = "/_matrix/key/v2/server"

MAX_DOCUMENT_BYTES = 64 * 1024  # ten times a certificate and a hundred keys

# "Servers MUST use the lesser of this field and 7 days into the future".
MAX_VALIDITY_MS = 7 * 24 * 3600 * 1000


class OldVerifyKey(Struct, frozen=True):
    """A key that a server no longer signs with; it verifies older events."""

    verify_key: VerifyKey
    expired_ts: int
    """The end of its use, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """A valid key document, signed by a key that it lists."""

    server_name: ServerName
    verify_keys: Mapping[KeyId, VerifyKey]
    signatures: Signatures
    """All ed25519 signatures of the server itself, by listed and unlisted keys."""

    document: Json = field(repr=False)
    """The JSON as received."""

    old_verify_keys: Mapping[KeyId, OldVerifyKey] = field(default_factory=dict)
    """Always empty in version 1."""

    valid_until_ts: int | None = None
    """In milliseconds since 1970; None in version 1, which has no expiry."""

    tls_certificate: bytes | None = None
    """The DER of the server's leaf certificate; None in version 2."""

    tls_fingerprints: frozenset[bytes] = frozenset()
    """The SHA-256 of the leaf certificates in a version 2 document; may be empty.

    The field was in the specification from 2015 to 2019.
    """

    invalid_entries: Mapping[str, str] = field(default_factory=dict)
    """The key entries that were ignored: {key ID: the rule it breaks}.

    Keys of unknown algorithms are ignored without an entry here.
    """

    def is_signed_by(self, key: VerifyKey) -> bool:
        """Whether `key`, listed or not, signed this document."""
        signature = self.signatures.get(key.key_id)
        return isinstance(signature, bytes) and _is_signed(
            self.document, self.server_name, key
        )

    def names_certificate(self, certificate: bytes) -> bool:
        """Whether the document lists this leaf certificate (DER) as its server's."""
        if self.tls_certificate is not None:
            return self.tls_certificate == certificate
        return hashlib.sha256(certificate).digest() in self.tls_fingerprints


def build_v1(
    server_name: ServerName, certificate: bytes, keys: Iterable[SigningKey]
) -> Json:
    """The version 1 document of a server with this leaf certificate (DER)."""
    keys = list(keys)
    document: Json = {
        "server_name": server_name.name,
        "tls_certificate": encode_base64(certificate),
        "verify_keys": {k.key_id: encode_base64(k.verify_key.key) for k in keys},
    }
    return _sign(document, server_name, keys)


def build_v2(
    server_name: ServerName,
    keys: Iterable[SigningKey],
    old_keys: Iterable[OldVerifyKey],
    valid_until_ts: int,
    certificates: Sequence[bytes] = (),
) -> Json:
    """The version 2 document; it always has `old_verify_keys`, even if empty.

    `certificates` are the leaf certificates (DER) that the server presents. Clients of
    2015 to 2018 reject a document without `tls_fingerprints`.
    """
    keys = list(keys)
    document: Json = {
        "server_name": server_name.name,
        "verify_keys": {
            k.key_id: {"key": encode_base64(k.verify_key.key)} for k in keys
        },
        "old_verify_keys": {
            old.verify_key.key_id: {
                "expired_ts": old.expired_ts,
                "key": encode_base64(old.verify_key.key),
            }
            for old in old_keys
        },
        "valid_until_ts": valid_until_ts,
    }
    if certificates:
        document["tls_fingerprints"] = build_fingerprints(certificates)
    return _sign(document, server_name, keys)


def parse_v1(data: bytes, server_name: ServerName) -> KeyDocument:
    """Parse and verify the version 1 document of `server_name`.

    Raises `NotJson` or `BadJson` for its form, `Unauthorized` for its signatures.
    The certificate is returned unchecked; the caller compares it with the connection's.
    """
    document = _parse(data, server_name)
    certificate = decode_base64(
        as_text(document.get("tls_certificate", MISSING), "`tls_certificate`")
    )
    listed = as_object(document.get("verify_keys", MISSING), "`verify_keys`")
    invalid_entries: dict[str, str] = {}

    def read(key_id: KeyId, entry: object) -> VerifyKey:
        return VerifyKey.parse(key_id, as_text(entry, f"key {key_id} of `verify_keys`"))

    verify_keys = read_entries(listed, read, invalid_entries)
    return KeyDocument(
        server_name,
        verify_keys,
        _check_signatures(document, server_name, verify_keys, invalid_entries),
        document,
        tls_certificate=certificate,
        invalid_entries=invalid_entries,
    )


def parse_v2(data: bytes, server_name: ServerName) -> KeyDocument:
    """Parse and verify the version 2 document of `server_name`.

    Raises `NotJson` or `BadJson` for its form, `Unauthorized` for its signatures.
    """
    document = _parse(data, server_name)
    listed = as_object(document.get("verify_keys", MISSING), "`verify_keys`")
    retired = as_object(document.get("old_verify_keys", {}), "`old_verify_keys`")
    invalid_entries: dict[str, str] = {}
    verify_keys = read_entries(listed, _parse_entry, invalid_entries)
    # A key that is listed as current is not old.
    retired = {k: v for k, v in retired.items() if k not in verify_keys}
    old_verify_keys = read_entries(retired, _parse_old_entry, invalid_entries)
    valid_until_ts = _parse_time(
        document.get("valid_until_ts", MISSING), "`valid_until_ts`"
    )
    return KeyDocument(
        server_name,
        verify_keys,
        _check_signatures(document, server_name, verify_keys, invalid_entries),
        document,
        old_verify_keys=old_verify_keys,
        valid_until_ts=valid_until_ts,
        tls_fingerprints=parse_fingerprints(document.get("tls_fingerprints")),
        invalid_entries=invalid_entries,
    )


def valid_until(document: KeyDocument, now_ts: int) -> int:
    """The time until which the document's keys verify requests, in ms since 1970.

    At most seven days from `now_ts`; exactly that for version 1, which has no expiry.
    """
    latest = now_ts + MAX_VALIDITY_MS
    if document.valid_until_ts is None:
        return latest
    return min(document.valid_until_ts, latest)


def _parse(data: bytes, server_name: ServerName) -> Json:
    document = parse_object(data)
    check_numbers(document)
    claimed = document.get("server_name", MISSING)
    if claimed is MISSING:
        raise not_a("a string", claimed, "`server_name`")
    if claimed != server_name.name:
        raise BadJson(
            f"the key document has the server_name {quote(claimed)}, not {server_name}"
        )
    return document


def _parse_time(value: object, what: str) -> int:
    """Milliseconds since 1970; `BadJson` for anything else."""
    milliseconds = as_integer(value, what)
    if milliseconds < 0:
        raise BadJson(f"{what} is before 1970")
    return milliseconds


def _parse_entry(key_id: KeyId, entry: object) -> VerifyKey:
    members = as_object(entry, f"key {key_id}")
    key = as_text(members.get("key", MISSING), f"`key` of {key_id}")
    return VerifyKey.parse(key_id, key)


def _parse_old_entry(key_id: KeyId, entry: object) -> OldVerifyKey:
    members = as_object(entry, f"old key {key_id}")
    expired_ts = _parse_time(
        members.get("expired_ts", MISSING), f"`expired_ts` of {key_id}"
    )
    return OldVerifyKey(_parse_entry(key_id, members), expired_ts)


def _check_signatures(
    document: Json,
    server_name: ServerName,
    verify_keys: Mapping[KeyId, VerifyKey],
    invalid_entries: Mapping[str, str],
) -> Signatures:
    """All signatures of the server; `Unauthorized` if none is by a listed key."""
    signatures = parse_signatures(document, server_name)
    try:
        _verify(document, server_name, verify_keys, signatures)
    except Unauthorized as problem:
        raise Unauthorized(f"{problem}{first_invalid(invalid_entries)}") from None
    return signatures


def _verify(
    document: Json,
    server_name: ServerName,
    verify_keys: Mapping[KeyId, VerifyKey],
    signatures: Signatures,
) -> None:
    what = f"the key document of {server_name}"
    signed = known_signatures(signatures, verify_keys, what)
    message = b""
    for number, (key_id, signature) in enumerate(signed):
        key = verify_keys[key_id]
        if number == 0:
            is_right = _is_signed(document, server_name, key)
        else:  # over the same bytes, which signedjson would encode a hundred times
            message = message or signed_bytes(document)
            is_right = key.verify(message, signature)
        if not is_right:
            raise Unauthorized(f"signature does not verify: {key_id} over {what}")


def _sign(document: Json, server_name: ServerName, keys: Iterable[SigningKey]) -> Json:
    from homeserver.protocol import signed_documents  # noqa: PLC0415 - see there

    return signed_documents.sign(document, server_name, keys)


def _is_signed(document: Json, server_name: ServerName, key: VerifyKey) -> bool:
    from homeserver.protocol import signed_documents  # noqa: PLC0415 - see there

    return signed_documents.is_signed(document, server_name, key)
