"""The entries of key documents: keys by their IDs, and fingerprints of certificates.

Rules: one entry that breaks a rule does not cost the document. It is passed over, and
the rule is told by the key ID.
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

# Of a document, current and old ones counted apart. Servers have one or two, and an old
# one for each time that they lost or replaced one.
MAX_KEYS = 100

# A key ID of an algorithm that is not known here, which is no mistake.
_OTHER_ALGORITHM = re.compile(r"(?!ed25519:)[^:]*:.*", re.DOTALL)

_T = TypeVar("_T")


def read_entries(
    entries: Json,
    read: Callable[[KeyId, object], _T],
    passed_over: dict[str, str],
) -> dict[KeyId, _T]:
    """The entries whose key ID is of the one algorithm there is, each as `read`.

    One that breaks a rule does not cost the document; it is added to `passed_over`.
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
                passed_over[text] = str(problem)
    return found


def parse_fingerprints(value: object) -> frozenset[bytes]:
    """The SHA-256 digests in `tls_fingerprints`; of none that is of another shape.

    Today's specification has no such field, so no server is held to its form.
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
    """`tls_fingerprints` of these leaves (DER)."""
    return [
        {"sha256": encode_base64(hashlib.sha256(each).digest())}
        for each in certificates
    ]


def tell_passed_over(passed_over: Mapping[str, str]) -> str:
    """The first of the entries that were passed over, to be added to a sentence."""
    first = next(iter(passed_over.items()), None)
    return "" if first is None else f"; {quote(first[0])} is passed over: {first[1]}"
