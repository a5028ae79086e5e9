"""The form of an event: which members it has, of which type and size.

Rules: `read_form` has two ways to one result. An event as nearly all are is converted
into a struct in one call. One that cannot be is read member by member: that way raises
the error, or accepts what the first one is too narrow for. Fuzzing holds both together.

Specification: Room Versions, "Event format"; Server-server API, "PDUs".
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from homeserver.protocol.canonical_json import (
    Json,
    as_integer,
    as_list,
    as_object,
    as_text,
)
from homeserver.protocol.errors import MISSING, BadJson
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.identifiers import MAX_ID_BYTES, EventId

_SENT = IdFormat.SENT

MAX_AUTH_EVENTS = 10  # Server-server API, "PDUs"
MAX_PREV_EVENTS = 20  # the same
MAX_DEPTH = 2**63 - 1  # room versions 1 to 5; canonical JSON limits the later ones

# A character has four bytes at most, so that this one is short enough in any case.
_Short = Annotated[str, Meta(max_length=MAX_ID_BYTES // 4)]

_Object = dict[str, Any]


class EventForm(Struct, frozen=True):
    """The members that every event has, but for those that are objects."""

    type: str
    sender: str
    state_key: str | None
    origin_server_ts: int
    depth: int
    prev_events: Sequence[EventId]
    auth_events: Sequence[EventId]


class _Hashes(Struct):
    sha256: str


class _UsualEvent(Struct):
    """An event as nearly all are, of a room version that refers to events by ID."""

    type: _Short
    sender: _Short
    origin_server_ts: int
    depth: Annotated[int, Meta(ge=0, le=MAX_DEPTH)]
    prev_events: Annotated[tuple[str, ...], Meta(max_length=MAX_PREV_EVENTS)]
    auth_events: Annotated[tuple[str, ...], Meta(max_length=MAX_AUTH_EVENTS)]
    content: _Object
    hashes: _Hashes
    signatures: _Object
    unsigned: _Object | UnsetType = UNSET
    state_key: _Short | UnsetType = UNSET
    room_id: _Short | UnsetType = UNSET
    event_id: _Short | UnsetType = UNSET


def read_form(pdu: Json, room_version: RoomVersion) -> EventForm:
    """The form of an event whose numbers its room version allows.

    Raises `BadJson`.
    """
    if room_version.id_format is _SENT:
        return _read_by_member(pdu, room_version)  # it refers by [event ID, hashes]
    try:
        usual = msgspec.convert(pdu, _UsualEvent)
    except msgspec.ValidationError:
        return _read_by_member(pdu, room_version)
    return EventForm(
        usual.type,
        usual.sender,
        None if usual.state_key is UNSET else usual.state_key,
        usual.origin_server_ts,
        usual.depth,
        usual.prev_events,  # type: ignore[arg-type] # IDs are texts
        usual.auth_events,  # type: ignore[arg-type] # the same
    )


def _read_by_member(pdu: Json, room_version: RoomVersion) -> EventForm:
    _check_texts(pdu)
    as_object(pdu.get("content", MISSING), "`content`")
    as_object(pdu.get("signatures", MISSING), "`signatures`")
    as_object(pdu.get("unsigned", {}), "`unsigned`")
    hashes = as_object(pdu.get("hashes", MISSING), "`hashes`")
    as_text(hashes.get("sha256", MISSING), "`sha256` of `hashes`")
    depth = as_integer(pdu.get("depth", MISSING), "`depth`")
    if not 0 <= depth <= MAX_DEPTH:
        raise BadJson(f"`depth` is not between 0 and 2^63-1: {depth}")
    prev = _parse_references(pdu, "prev_events", room_version, MAX_PREV_EVENTS)
    auth = _parse_references(pdu, "auth_events", room_version, MAX_AUTH_EVENTS)
    return EventForm(
        as_text(pdu.get("type", MISSING), "`type`"),
        as_text(pdu.get("sender", MISSING), "`sender`"),
        as_text(pdu["state_key"], "`state_key`") if "state_key" in pdu else None,
        as_integer(pdu.get("origin_server_ts", MISSING), "`origin_server_ts`"),
        depth,
        prev,
        auth,
    )


def _check_texts(pdu: Json) -> None:
    for member in ("type", "sender", "room_id", "state_key", "event_id"):
        if member not in pdu:
            continue
        text = as_text(pdu[member], f"`{member}`")
        if len(text.encode("utf-8")) > MAX_ID_BYTES:
            raise BadJson(f"`{member}` has more than {MAX_ID_BYTES} bytes")


def _parse_references(
    pdu: Json, member: str, room_version: RoomVersion, most: int
) -> tuple[EventId, ...]:
    """The IDs of the events that a PDU refers to."""
    references = as_list(pdu.get(member, MISSING), f"`{member}`")
    if len(references) > most:
        raise BadJson(f"`{member}` has {len(references)} entries; {most} are allowed")
    if room_version.id_format is not _SENT:
        return tuple(EventId(as_text(x, f"an entry of `{member}`")) for x in references)
    return tuple(_parse_pair(reference, member) for reference in references)


def _parse_pair(reference: object, member: str) -> EventId:
    pair = as_list(reference, f"an entry of `{member}`")
    if len(pair) != 2:
        raise BadJson(f"an entry of `{member}` is not [event ID, hashes]")
    cited = as_text(pair[0], f"an event ID of `{member}`")
    as_object(pair[1], f"the hashes of an entry of `{member}`")
    return EventId(cited)
