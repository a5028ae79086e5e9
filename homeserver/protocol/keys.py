"""Key documents: how a server says which keys are its own, in 2014 and today.

Rules of the room: a document that `parse_v1` or `parse_v2` returned is signed by the
keys that it lists and speaks for the server that was asked. It proves no more than
that its author holds the keys: that the author *is* the server is proven by the
connection (`outbound.verification`).

Specification: Server-server API, "Retrieving server keys"; the November 2014 text,
"Retrieving Server Keys", for version 1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from homeserver.protocol.canonical import (
    Json,
    as_integer,
    as_object,
    as_text,
    check_numbers,
    decode_base64,
    encode_base64,
    parse_object,
)
from homeserver.protocol.errors import BadJson, InvalidParam, quote
from homeserver.protocol.names import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import (
    SigningKey,
    VerifyKey,
    parse_signatures,
    sign,
    signed_bytes,
    verify,
)

MAX_DOCUMENT_BYTES = 64 * 1024  # a certificate and a hundred keys take a tenth of it

# Of a document, current and old ones counted apart. Servers have one or two, and an old
# one for each time that they lost or replaced one.
MAX_KEYS = 100

# "Servers MUST use the lesser of this field and 7 days into the future".
MAX_VALIDITY_MS = 7 * 24 * 3600 * 1000


class OldVerifyKey(Struct, frozen=True):
    """A key that a server no longer signs with; it still verifies old events."""

    verify_key: VerifyKey
    expired_ts: int
    """When it stopped being used, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """A key document that is what it must be, and signed by the keys it lists."""

    server_name: ServerName
    verify_keys: Mapping[KeyId, VerifyKey]
    signatures: Mapping[KeyId, bytes]
    """All ed25519 signatures of the server itself, by listed and unlisted keys."""

    document: Json = field(repr=False)
    """The JSON as it came."""

    old_verify_keys: Mapping[KeyId, OldVerifyKey] = field(default_factory=dict)
    """Empty in version 1, which has none."""

    valid_until_ts: int | None = None
    """In milliseconds since 1970; None in version 1, which has no expiry."""

    tls_certificate: bytes | None = None
    """The DER of the server's leaf certificate; None in version 2."""

    def is_signed_by(self, key: VerifyKey) -> bool:
        """Whether `key`, which need not be listed, signed this document."""
        signature = self.signatures.get(key.key_id)
        return signature is not None and key.verify(
            signed_bytes(self.document), signature
        )


def build_v1(
    server_name: ServerName, certificate: bytes, keys: Iterable[SigningKey]
) -> Json:
    """The version 1 document of a server whose leaf certificate (DER) is given."""
    keys = list(keys)
    document: Json = {
        "server_name": server_name.name,
        "tls_certificate": encode_base64(certificate),
        "verify_keys": {k.key_id: encode_base64(k.verify_key.key) for k in keys},
    }
    return sign(document, server_name, keys)


def build_v2(
    server_name: ServerName,
    keys: Iterable[SigningKey],
    old_keys: Iterable[OldVerifyKey],
    valid_until_ts: int,
) -> Json:
    """The version 2 document. `old_verify_keys` is there even when it is empty."""
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
    return sign(document, server_name, keys)


def parse_v1(data: bytes, server_name: ServerName) -> KeyDocument:
    """Read and check the version 1 document that was asked of `server_name`.

    Raises `NotJson` or `BadJson` for its form, `Unauthorized` for its signatures.
    The certificate is returned, not judged: only who holds the connection can.
    """
    document = _parse(data, server_name)
    certificate = decode_base64(
        as_text(document.get("tls_certificate"), "`tls_certificate`")
    )
    listed = as_object(document.get("verify_keys"), "`verify_keys`")
    verify_keys: dict[KeyId, VerifyKey] = {}
    for key_id, encoded in _ed25519(listed):
        verify_keys[key_id] = VerifyKey.parse(
            key_id, as_text(encoded, f"key {key_id} of `verify_keys`")
        )
    signatures = _check_signatures(document, server_name, verify_keys)
    return KeyDocument(
        server_name, verify_keys, signatures, document, tls_certificate=certificate
    )


def parse_v2(data: bytes, server_name: ServerName) -> KeyDocument:
    """Read and check the version 2 document that was asked of `server_name`.

    Raises `NotJson` or `BadJson` for its form, `Unauthorized` for its signatures.
    """
    document = _parse(data, server_name)
    listed = as_object(document.get("verify_keys"), "`verify_keys`")
    verify_keys = {
        key_id: _parse_entry(key_id, as_object(entry, f"key {key_id}"))
        for key_id, entry in _ed25519(listed)
    }
    old_verify_keys: dict[KeyId, OldVerifyKey] = {}
    retired = as_object(document.get("old_verify_keys", {}), "`old_verify_keys`")
    for key_id, value in _ed25519(retired):
        if key_id in verify_keys:
            continue  # it is in use, whatever was meant
        entry = as_object(value, f"old key {key_id}")
        expired_ts = _parse_time(entry.get("expired_ts"), f"`expired_ts` of {key_id}")
        old_verify_keys[key_id] = OldVerifyKey(_parse_entry(key_id, entry), expired_ts)
    valid_until_ts = _parse_time(document.get("valid_until_ts"), "`valid_until_ts`")
    return KeyDocument(
        server_name,
        verify_keys,
        _check_signatures(document, server_name, verify_keys),
        document,
        old_verify_keys=old_verify_keys,
        valid_until_ts=valid_until_ts,
    )


def valid_until(document: KeyDocument, now_ts: int) -> int:
    """Until when the document's keys verify requests, in milliseconds since 1970.

    At most seven days from `now_ts`, whatever the document says; version 1 says
    nothing, and gets those seven days.
    """
    latest = now_ts + MAX_VALIDITY_MS
    if document.valid_until_ts is None:
        return latest
    return min(document.valid_until_ts, latest)


def _parse(data: bytes, server_name: ServerName) -> Json:
    document = parse_object(data)
    check_numbers(document)
    claimed = document.get("server_name")
    if claimed != server_name.name:
        raise BadJson(
            f"the key document is of server_name {quote(claimed)}, "
            f"{server_name} was asked for"
        )
    return document


def _ed25519(entries: Json) -> list[tuple[KeyId, object]]:
    """The entries whose key ID is of the one algorithm there is."""
    if len(entries) > MAX_KEYS:
        raise BadJson(f"the key document lists more than {MAX_KEYS} keys")
    found = []
    for text, entry in entries.items():
        try:
            found.append((parse_key_id(text), entry))
        except InvalidParam:
            continue
    return found


def _parse_time(value: object, what: str) -> int:
    """Milliseconds since 1970; `BadJson` for what is no such time."""
    milliseconds = as_integer(value, what)
    if milliseconds < 0:
        raise BadJson(f"{what} is before 1970")
    return milliseconds


def _parse_entry(key_id: KeyId, entry: Json) -> VerifyKey:
    return VerifyKey.parse(key_id, as_text(entry.get("key"), f"`key` of {key_id}"))


def _check_signatures(
    document: Json, server_name: ServerName, verify_keys: Mapping[KeyId, VerifyKey]
) -> Mapping[KeyId, bytes]:
    signatures = parse_signatures(document, server_name)
    verify(
        signed_bytes(document),
        signatures,
        verify_keys,
        f"the key document of {server_name}",
    )
    return signatures
