"""What the content hash of an event is over, where it is not over its content.

Specification: Server-server API, "Calculating the content hash for an event".
"""

import hashlib
from collections.abc import Iterator

from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    as_text,
    decode_base64,
    encode_base64,
)
from homeserver.protocol.diagnosis.base64_texts import base64_hints
from homeserver.protocol.diagnosis.event_variants import (
    Variant,
    in_forms,
    redacted,
    toggled_members,
)
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.diagnosis.search import Work
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.slices import Steps

_HASH_BYTES = 32
_UNHASHED = frozenset({"unsigned", "signatures", "hashes"})


def diagnose_content_hash(event: Event, work: Work) -> Steps[list[Hint]]:
    """What the content hash of an event is over; empty if it is right."""
    if event.content_hash_matches:
        return []
    hashes = as_object(event.pdu["hashes"], "`hashes`")
    claimed = as_text(hashes["sha256"], "its sha256")
    expected = encode_base64(content_hash(event.pdu))
    problems = list(base64_hints("the content hash", claimed, _HASH_BYTES))
    if problems:
        return problems
    digest = decode_base64(claimed)
    for variant in _variants(event):
        if work.is_over:
            break
        message = variant.write()
        if hashlib.sha256(message).digest() == digest:
            return [
                Hint(each.code, each.text, claimed, expected)
                if each.received is None
                else each
                for each in variant.hints
            ]
        if work.hash_one(len(message), variant.cost(len(message))):
            yield
    text = (
        "no known mistake explains the content hash; it is SHA-256 of the canonical "
        "JSON of the whole event without `hashes`, `signatures` and `unsigned`, and "
        "nothing else may change afterwards"
    )
    return [Hint("hash-unknown", text, clip(claimed), expected)]


def _variants(event: Event) -> Iterator[Variant]:
    """What may have been hashed, the most common mistakes first."""
    right: Json = {k: v for k, v in event.pdu.items() if k not in _UNHASHED}
    toggled = list(toggled_members(event.pdu, right, "hash"))
    yield from toggled
    yield from in_forms(right)
    hint = Hint(
        "hash-redacted",
        "the content hash is over the redacted event; hash the whole event",
    )
    for version in ROOM_VERSIONS.values():
        value = redacted(event.pdu, version)
        yield Variant(value, (hint,))
        yield Variant({k: v for k, v in value.items() if k != "hashes"}, (hint,))
    for first in toggled:
        yield from toggled_members(event.pdu, first.value, "hash", first.made_by)
