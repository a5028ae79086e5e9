"""The room versions that a PDU may have, and how each was inferred.

Rules: a PDU does not name its version, so each answer carries its source. A version
that is only inferred must be confirmed by the signatures of the event's servers, as
versions differ in what is signed. Unknown members are no evidence: any event may have
more members than its version defines, and `origin`, `prev_state` and `membership` are
still sent today.

Theory of operation. The first row that applies decides:

| evidence                                  | possible versions, in the order tried   |
|-------------------------------------------|-----------------------------------------|
| 1. a create event with a known version    | that one; "1" without a `room_version`  |
| 2. a create event with an unknown version | each that fits the format, to find the  |
|                                           | signers; the PDU is rejected            |
| 3. the room's create event was received   | the version that it names               |
| 4. the room ID is a hash                  | 12                                      |
| 5. an `event_id`, and no reference to     | 2, and the servers of 2014 where they   |
|    another event that is an ID alone      | sign something else                     |
| 6. none of these                          | 11, 10, 8, 7, 5                         |

In rows 5 and 6 each version stands for those that sign the same members; no evidence in
an event tells these apart. The configured default version replaces the one that signs
the same as it, and is tried first. A room of version 1 (rows 1 and 3) is also tried as
one of the servers of 2014 where these sign something else.

Specification: Room Versions; Client-server API, "m.room.create".
"""

from collections.abc import Sequence
from enum import Enum
from functools import cache

from msgspec import Struct

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.events.room_versions import (
    EVENTS_OF_2014,
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
    is_room_version,
    parse_room_version,
)
from homeserver.protocol.identifiers import is_hash_room_id


class VersionSource(Enum):
    """How the room version of a PDU was determined."""

    CREATE_EVENT = "create event"
    """Named by the create event of the room, or by the PDU if it is one."""

    EVENT_FORMAT = "event format"
    """Inferred from the event's format and confirmed by its signatures; versions with
    the same format cannot be told apart."""

    DEFAULT = "default"
    """The event's format fits several versions; the configured default is one."""


class PossibleVersion(Struct, frozen=True):
    """A room version that a PDU may have."""

    room_version: RoomVersion
    source: VersionSource
    unknown_version: str | None = None
    """The version that a create event names, if it is not known here. The event is then
    parsed as of `room_version` only to verify its signatures."""


# The newest of those that sign the same members stands for all of them. Versions below
# 5 are left out: they accept keys that had expired, which an inference must not.
_NEWEST = ("11", "10", "8", "7", "5")

_OF_HASH_ROOM_ID = (PossibleVersion(ROOM_VERSIONS["12"], VersionSource.EVENT_FORMAT),)

_VERSIONS = {**ROOM_VERSIONS, "2014": EVENTS_OF_2014}


def infer_room_versions(
    pdu: Json, recorded: str | None, default: RoomVersion
) -> Sequence[PossibleVersion]:
    """The room versions that a PDU may have, in the order in which to try them.

    `recorded` is the version that the create event of its room names. Raises
    `InvalidParam` if that version is not known here, or if a create event names
    something that cannot be a room version.
    """
    content = pdu.get("content")
    if pdu.get("type") == "m.room.create" and isinstance(content, dict):
        # Client-server API, "m.room.create": the default of `room_version` is "1".
        return _of_create_event(pdu, content.get("room_version", "1"))
    if recorded is not None:
        if recorded not in ROOM_VERSIONS:
            raise InvalidParam(
                f"the create event of its room names room version {quote(recorded)}, "
                "which is not known here"
            )
        return _named(pdu, ROOM_VERSIONS[recorded])
    if _has_hash_room_id(pdu):
        return _OF_HASH_ROOM_ID
    return _inferred(_formats(pdu), default.version)


def _of_create_event(pdu: Json, named: object) -> Sequence[PossibleVersion]:
    """The possible versions of a create event that names the version `named`."""
    if not is_room_version(named) or named in ROOM_VERSIONS:
        return _named(pdu, parse_room_version(named))
    possible = _formats(pdu)
    if "room_id" not in pdu or _has_hash_room_id(pdu):
        possible = ("12",)  # its room ID is the event's hash, and is not sent
    source = VersionSource.CREATE_EVENT
    return [PossibleVersion(_VERSIONS[each], source, str(named)) for each in possible]


def _named(pdu: Json, room_version: RoomVersion) -> Sequence[PossibleVersion]:
    possible = [room_version]
    if room_version.version == "1" and _is_signed_otherwise_in_2014(pdu):
        possible.append(EVENTS_OF_2014)
    return [PossibleVersion(each, VersionSource.CREATE_EVENT) for each in possible]


def _formats(pdu: Json) -> tuple[str, ...]:
    """One version for each format, of 1 to 11, that the PDU may have."""
    if "event_id" not in pdu or _refers_by_id(pdu):
        return _NEWEST
    return ("2", "2014") if _is_signed_otherwise_in_2014(pdu) else ("2",)


def _has_hash_room_id(pdu: Json) -> bool:
    room_id = pdu.get("room_id")
    return isinstance(room_id, str) and is_hash_room_id(room_id)


def _refers_by_id(pdu: Json) -> bool:
    """Whether it refers to other events by ID alone, as version 3 and later do."""
    references = pdu.get("prev_events"), pdu.get("auth_events")
    return any(
        isinstance(each, str)
        for those in references
        if isinstance(those, list)
        for each in those
    )


def _is_signed_otherwise_in_2014(pdu: Json) -> bool:
    """Whether `EVENTS_OF_2014` and version 1 redact it differently."""
    return pdu.get("type") == "m.room.history_visibility" or "membership" in pdu


@cache  # there are few formats and one default, and each event asks
def _inferred(possible: tuple[str, ...], default: str) -> Sequence[PossibleVersion]:
    """The possible versions; `default` replaces its equivalent and comes first."""
    versions = [_VERSIONS[each] for each in possible]
    others = [each for each in versions if not _sign_the_same(each, _VERSIONS[default])]
    inferred = [PossibleVersion(each, VersionSource.EVENT_FORMAT) for each in others]
    if len(others) < len(versions):
        inferred.insert(0, PossibleVersion(_VERSIONS[default], VersionSource.DEFAULT))
    return tuple(inferred)


def _sign_the_same(one: RoomVersion, other: RoomVersion) -> bool:
    """Whether no evidence in an event tells two versions apart."""
    forms = [
        (
            each.kept_members,
            each.kept_content,
            each.keeps_signed_invite,
            each.has_hash_room_id,
            each.id_format is IdFormat.SENT,
        )
        for each in (one, other)
    ]
    return forms[0] == forms[1]
