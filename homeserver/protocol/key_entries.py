"""The entries of key documents: keys by their IDs, and fingerprints of certificates.

Rules: an invalid entry does not invalidate the document. It is ignored, and the rule
that it breaks is reported with its key ID.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    as_text,
    decode_base64,
    encode_base64,
)
from homeserver.protocol.errors import BadJson, ProtocolError, quote
from homeserver.protocol.identifiers import KeyId, parse_key_id

# In a document, separately for current and old keys. A server has one or two current
# keys, and an old one for each that it lost or replaced.
MAX_KEYS = 100

# A key ID of another algorithm, which is not an error.
_OTHER_ALGORITHM = re.compile(r"(?!ed25519:)[^:]*:.*", re.DOTALL)

_T = TypeVar("_T")


def read_entries(
    entries: Json,
    read: Callable[[KeyId, object], _T],
    invalid_entries: dict[str, str],
) -> dict[KeyId, _T]:
    """The entries of ed25519 keys, each converted by `read`.

    The rule that an invalid entry breaks is added to `invalid_entries`.
    """
    if len(entries) > MAX_KEYS:
        raise BadJson(f"the key document lists more than {MAX_KEYS} keys")
    found: dict[KeyId, _T] = {}
    for text, entry in entries.items():
        try:
            key_id = parse_key_id(text)
            found[key_id] = read(key_id, entry)
        except ProtocolError as problem:
            if not _OTHER_ALGORITHM.fullmatch(text):
                invalid_entries[text] = str(problem)
    return found


def parse_fingerprints(value: object) -> frozenset[bytes]:
    """The SHA-256 digests in `tls_fingerprints`; malformed entries are ignored.

    The field is not in the specification today, so its format is not enforced.
    """
    found: set[bytes] = set()
    for entry in value if isinstance(value, list) else []:
        try:
            members = as_object(entry, "a fingerprint")
            found.add(decode_base64(as_text(members.get("sha256"), "`sha256`")))
        except ProtocolError:
            continue
    return frozenset(found)


def build_fingerprints(certificates: Iterable[bytes]) -> list[Json]:
    """`tls_fingerprints` of these leaf certificates (DER)."""
    return [
        {"sha256": encode_base64(hashlib.sha256(each).digest())}
        for each in certificates
    ]


def first_invalid(invalid_entries: Mapping[str, str]) -> str:
    """The first invalid entry, as the end of a sentence; empty if there is none."""
    first = next(iter(invalid_entries.items()), None)
    return "" if first is None else f"; {quote(first[0])} is ignored: {first[1]}"
