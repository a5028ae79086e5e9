"""The changes that make the first PDU or EDU of a transaction wrong.

Rules: as in `changes`. A PDU without signatures is hashed and signed first, so that the
mistake is its only one; the room version of another one is found by its signature.

Specification: Server-server API, "PDUs", "EDUs" and "Signing Events"; Room Versions.
"""

from collections.abc import Iterator

from homeserver.identity.identity import Identity
from homeserver.lab.spoil.changes import OTHER_SERVER
from homeserver.lab.spoil.draft import Draft
from homeserver.protocol.canonical_json import Json, as_object, encode_base64
from homeserver.protocol.errors import InvalidParam, ProtocolError
from homeserver.protocol.events.event import (
    MAX_EVENT_BYTES,
    Event,
    event_id,
    hash_and_sign,
    redact,
)
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.signing import event_signatures, sign, verify

_DEFAULT = ROOM_VERSIONS["12"]  # as `send` has it

_OTHER_USER = f"@spoiled:{OTHER_SERVER}"
_OTHER_HASH = encode_base64(bytes(32))


def flip_signature(draft: Draft, _: str) -> None:
    """Write another first character into each of our signatures of the PDU."""
    pdu, room_version = _right_pdu(draft, "pdu-signature")
    name = draft.identity.server_name.name
    signatures = as_object(pdu["signatures"], "`signatures`")
    own = as_object(signatures[name], "`signatures` of one server")
    flipped = {key_id: _flipped(text) for key_id, text in own.items()}
    signatures = {**signatures, name: flipped}
    _refuse(draft, {**pdu, "signatures": signatures}, room_version)


def replace_hash(draft: Draft, _: str) -> None:
    """Sign the PDU with a content hash that is not its own."""
    pdu, room_version = _right_pdu(draft, "pdu-hash")
    bare = {k: v for k, v in pdu.items() if k != "signatures"}
    hashed = {**bare, "hashes": {"sha256": _OTHER_HASH}}
    identity = draft.identity
    signed = sign(
        redact(hashed, room_version), identity.server_name, identity.signing_keys
    )
    draft.replace_first("pdus", {**hashed, "signatures": signed["signatures"]})


def add_event_id(draft: Draft, _: str) -> None:
    """Let the PDU name an event ID that is not its own."""
    pdu, room_version = _right_pdu(draft, "pdu-event-id")
    claimed = EventId(f"$spoiled:{OTHER_SERVER}")
    named = _signed({**pdu, "event_id": claimed}, room_version, draft.identity)
    draft.wrong_ids.add(claimed)
    draft.replace_first("pdus", named)


def enlarge(draft: Draft, _: str) -> None:
    """Make the PDU larger than an event may be."""
    pdu, room_version = _right_pdu(draft, "pdu-size")
    content = pdu.get("content")
    content = content if isinstance(content, dict) else {}
    large = {**pdu, "content": {**content, "spoiled": "x" * MAX_EVENT_BYTES}}
    _refuse(draft, _signed(large, room_version, draft.identity), room_version)


def change_format(draft: Draft, _: str) -> None:
    """Cite events as in room versions with the other format."""
    pdu, room_version = _right_pdu(draft, "pdu-room-version")
    pair = [f"$spoiled:{OTHER_SERVER}", {"sha256": _OTHER_HASH}]
    own: object = f"${_OTHER_HASH}"
    other: object = pair
    if room_version.id_format is IdFormat.SENT:
        own, other = pair, own
    # In no room version both forms stand side by side.
    cited = {"prev_events": [other], "auth_events": pdu.get("auth_events") or [own]}
    signed = _signed({**pdu, **cited}, room_version, draft.identity)
    _refuse(draft, signed, room_version)


def name_other_user(draft: Draft, _: str) -> None:
    """Let the first EDU be of a user of another server."""
    edus = draft.must_have_object("edu-sender").get("edus")
    edu = edus[0] if isinstance(edus, list) and edus else None
    own = f":{draft.identity.server_name}"
    changed = _with_other_user(edu, own)
    if changed != edu and isinstance(changed, dict):
        draft.replace_first("edus", changed)
        return
    content = {"user_id": _OTHER_USER, "room_id": f"!spoiled{own}", "typing": True}
    draft.replace_first("edus", {"edu_type": "m.typing", "content": content})


def break_edu(draft: Draft, _: str) -> None:
    """Send an EDU whose members have other types than they may."""
    draft.replace_first("edus", {"edu_type": 1, "content": []})


def _right_pdu(draft: Draft, name: str) -> tuple[Json, RoomVersion]:
    """The first PDU, signed, with its room version."""
    pdu = draft.must_have_pdu(name)
    if "signatures" not in pdu:
        return _signed(pdu, _DEFAULT, draft.identity), _DEFAULT
    for room_version in _possible(pdu):
        if _verifies(pdu, room_version, draft.identity):
            return pdu, room_version
    own = draft.identity.server_name
    raise InvalidParam(
        f"`spoil`: {name!r} needs a PDU without `signatures`, or one that {own} signed"
    )


def _possible(pdu: Json) -> Iterator[RoomVersion]:
    """The room versions, the newest first, and those without hashed IDs last."""
    newest = sorted(ROOM_VERSIONS.values(), key=lambda each: -int(each.version))
    has_id = "event_id" in pdu
    yield from (each for each in newest if (each.id_format is IdFormat.SENT) == has_id)


def _verifies(pdu: Json, room_version: RoomVersion, identity: Identity) -> bool:
    keys = {key.key_id: key.verify_key for key in identity.signing_keys}
    try:
        event = Event.parse(pdu, room_version)
        signatures = event_signatures(pdu, identity.server_name)
        verify(event.signed, signatures, keys, "the PDU")
    except ProtocolError:
        return False
    return True


def _signed(pdu: Json, room_version: RoomVersion, identity: Identity) -> Json:
    bare = {k: v for k, v in pdu.items() if k not in {"signatures", "hashes"}}
    return hash_and_sign(
        bare, room_version, identity.server_name, identity.signing_keys
    )


def _refuse(draft: Draft, pdu: Json, room_version: RoomVersion) -> None:
    """Send a PDU that no right server accepts."""
    draft.wrong_ids.add(event_id(pdu, room_version))
    draft.replace_first("pdus", pdu)


def _flipped(text: object) -> object:
    if not isinstance(text, str):
        return text
    return ("B" if text.startswith("A") else "A") + text[1:]


def _with_other_user(value: object, own: str) -> object:
    """JSON with the users of our server replaced."""
    if isinstance(value, str):
        return _OTHER_USER if value.startswith("@") and value.endswith(own) else value
    if isinstance(value, list):
        return [_with_other_user(each, own) for each in value]
    if isinstance(value, dict):
        return {
            str(_with_other_user(key, own)): _with_other_user(each, own)
            for key, each in value.items()
        }
    return value
