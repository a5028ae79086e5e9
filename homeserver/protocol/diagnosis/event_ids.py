"""How a peer came to the event ID that it has for a PDU.

Specification: Room Versions, "Event IDs" of versions 1, 3 and 4; Server-server API,
"Calculating the reference hash for an event".
"""

import hashlib

from homeserver.protocol.canonical_json import Json, decode_base64
from homeserver.protocol.diagnosis.event_variants import signed_variants
from homeserver.protocol.diagnosis.hint import Hint, clip
from homeserver.protocol.diagnosis.search import Work
from homeserver.protocol.errors import BadJson, ProtocolError
from homeserver.protocol.events.event import content_hash, event_id
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.slices import Steps

_HASH_BYTES = 32
_TO_STANDARD = str.maketrans("-_", "+/")
_UNKNOWN = "no known mistake explains the event ID; it is the "


def diagnose_event_id(
    pdu: Json, room_version: RoomVersion, claimed: str
) -> Steps[list[Hint]]:
    """How a peer came to the ID `claimed` of a PDU; empty if that is its ID."""
    try:
        right = event_id(pdu, room_version)
    except ProtocolError as problem:
        return [Hint("event-format", str(problem))]
    if claimed == right:
        return []
    if room_version.id_format is IdFormat.SENT:
        text = f"{_UNKNOWN}`event_id` in room versions 1 and 2"
        return [Hint("id-unknown", text, clip(claimed), right)]
    yield
    digest = _digest_of(claimed)
    if digest == content_hash(pdu):
        text = "the event ID is the content hash; it should be the reference hash"
        return [Hint("id-of-content", text, claimed, right)]
    found = yield from _search(pdu, room_version, digest)
    if found is None:
        text = (
            f"{_UNKNOWN}SHA-256 of the redacted event, with `hashes`, without "
            "`signatures` and `unsigned`"
        )
        return [Hint("id-unknown", text, clip(claimed), right)]
    return found or [_form_hint(claimed, right)]


def _digest_of(claimed: str) -> bytes | None:
    """The hash in an event ID, in whichever alphabet; None if there is none."""
    text = claimed.removeprefix("$").partition(":")[0].translate(_TO_STANDARD)
    try:
        digest = decode_base64(text)
    except BadJson:
        return None
    return digest if len(digest) == _HASH_BYTES else None


def _search(
    pdu: Json, room_version: RoomVersion, digest: bytes | None
) -> Steps[list[Hint] | None]:
    """The mistakes in what was hashed; empty if it is right, None if unknown."""
    work = Work()
    for variant in signed_variants(pdu, room_version):
        if digest is None or work.is_over:
            return None
        message = variant.write()
        if hashlib.sha256(message).digest() == digest:
            return list(variant.hints)
        if work.hash_one(len(message), variant.cost(len(message))):
            yield
    return None


def _form_hint(claimed: str, right: str) -> Hint:
    """The hint on an ID that has the right hash in another form."""
    if "=" in claimed:
        text = "the event ID has padding; remove each `=`"
        return Hint("id-padded", text, claimed, right)
    text = (
        "the event ID has another form: `$` and unpadded base64, in the standard "
        "alphabet in room version 3, in the URL-safe one in later versions"
    )
    return Hint("id-alphabet", text, claimed, right)
