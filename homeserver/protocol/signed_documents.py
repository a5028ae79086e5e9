"""The signatures of key documents, by signedjson, the reference implementation.

Rules: documents are rare; `signing` signs and verifies requests and events, at half the
cost. This module is loaded for its first use, as that takes a tenth of a start.
"""

from collections.abc import Iterable

import signedjson.key
import signedjson.sign

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import SigningKey, VerifyKey


def sign(document: Json, server_name: ServerName, keys: Iterable[SigningKey]) -> Json:
    """The document, to which the signature of each key was added."""
    for each in keys:
        algorithm, _, version = each.key_id.partition(":")
        key = signedjson.key.decode_signing_key_base64(
            algorithm, version, encode_base64(bytes(each.key))
        )
        signedjson.sign.sign_json(document, server_name.name, key)
    return document


def is_signed(document: Json, server_name: ServerName, key: VerifyKey) -> bool:
    """Whether the server's signature by `key`, which is well formed, verifies."""
    theirs = signedjson.key.decode_verify_key_bytes(key.key_id, key.key)
    try:
        signedjson.sign.verify_signed_json(document, server_name.name, theirs)
    except signedjson.sign.SignatureVerifyException:
        return False
    return True
