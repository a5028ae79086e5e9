"""The keys of other servers, as the planted homeserver fetches and keeps them.

Rules: as in `server`. A key document is of the server that it was asked of, signed by a
key that it lists, and valid. It is kept until it runs out, and fetched again for a key
that it does not have. One fetch of a server is under way at a time.
"""

import base64
import threading
from datetime import UTC, datetime
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tests.planted.client import Client, Unreachable
from tests.planted.signing import Object, canonical, without


class Unproven(Exception):
    """There is no such key of a server."""


class Keys:
    """Finds the keys of other servers."""

    def __init__(self, client: Client, faults: frozenset[str]) -> None:
        self._client = client
        self._faults = faults
        self._kept: dict[str, Object] = {}
        self._locks: dict[str, threading.Lock] = {}

    def find(self, origin: str, key_id: str) -> VerifyKey:
        """A key of a server; raises `Unproven`."""
        with self._locks.setdefault(origin, threading.Lock()):
            document = self._kept.get(origin)
            if document is None or not self._has(document, key_id):
                document = self._fetch(origin)
                if "keys-not-kept" not in self._faults:
                    self._kept[origin] = document
        if not self._has(document, key_id):
            raise Unproven(f"{origin} publishes no such key")
        return self._key(document, key_id)

    def _has(self, document: Object, key_id: str) -> bool:
        return self._is_valid(document) and key_id in self._listed(document)

    def _is_valid(self, document: Object) -> bool:
        until = document.get("valid_until_ts")
        if "validity-unchecked" in self._faults:
            return True
        return isinstance(until, int) and until > now_ts()

    def _listed(self, document: Object) -> Object:
        """The keys of a document by ID, those that prove something."""
        listed = document.get("verify_keys")
        found = dict(listed) if isinstance(listed, dict) else {}
        if "old-keys-believed" in self._faults:
            found |= document.get("old_verify_keys", {})
        return {k: v for k, v in found.items() if k.startswith("ed25519:")}

    def _key(self, document: Object, key_id: str) -> VerifyKey:
        try:
            return VerifyKey(decode(self._listed(document)[key_id]["key"]))
        except (KeyError, TypeError, ValueError):
            raise Unproven("a key is malformed") from None

    def _fetch(self, origin: str) -> Object:
        try:
            answer = self._client.ask(origin, "GET", "/_matrix/key/v2/server")
        except Unreachable as problem:
            raise Unproven(str(problem)) from None
        document = answer.content
        if answer.status != 200 or not isinstance(document, dict):
            raise Unproven(f"{origin} has no key document")
        is_named = document.get("server_name") == origin
        if not is_named and "document-name-unchecked" not in self._faults:
            raise Unproven("the key document is of another server")
        if "document-signature-unchecked" not in self._faults:
            self._check_signed(document, origin)
        if not self._is_valid(document):
            raise Unproven("the key document has run out")
        return document

    def _check_signed(self, document: Object, origin: str) -> None:
        signatures = document.get("signatures")
        own = signatures.get(origin) if isinstance(signatures, dict) else None
        message = canonical(without(document, "signatures", "unsigned"))
        for key_id in self._listed(document):
            signature = own.get(key_id) if isinstance(own, dict) else None
            if signature is None:
                continue
            if not verifies(self._key(document, key_id), message, signature):
                raise Unproven("a signature of the key document is wrong")
            return
        raise Unproven("the key document is not signed")


def now_ts() -> int:
    """The time, in milliseconds since 1970."""
    return int(datetime.now(UTC).timestamp() * 1000)


def decode(text: str) -> bytes:
    """Base64 without padding, or with it; raises `ValueError`."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def verifies(key: VerifyKey, message: bytes, signature: Any) -> bool:
    """Whether a signature in base64 is that of a key."""
    try:
        key.verify(message, decode(signature))
    except (BadSignatureError, ValueError, TypeError, AttributeError):
        return False
    return True
