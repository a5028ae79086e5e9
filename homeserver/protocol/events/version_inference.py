"""Of which room version a PDU may be, and what that rests on.

Rules: a PDU does not say its version itself, so each answer names its source. That a
PDU is of an assumed version, its servers' signatures have to prove: versions differ in
what is signed. Members that a version does not mention tell nothing, as any event may
have more of them: `origin`, `prev_state` and `membership` are sent to this day.

What is looked at, in this order:

1. a create event names its own version, "1" where it has no `room_version`;
2. the create event of the room, where it is known;
3. a room ID that is a hash: version 12;
4. an `event_id`, and references that are pairs: version 1 or 2, or the servers of 2014;
5. nothing: one of 3 to 11, each tried by what its servers would have signed.

Versions of one format cannot be told apart. Of these, the configured default stands
for the others, or else the newest.

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
    """What the room version of a PDU rests on."""

    CREATE_EVENT = "create event"
    """Its room's create event, or itself if it is that."""

    EVENT_FORMAT = "event format"
    """Inferred from the event's format and confirmed by its signatures; versions with
    the same format cannot be told apart."""

    DEFAULT = "default"
    """Its format fits several, of which one is what the configuration says."""


class Assumption(Struct, frozen=True):
    """A room version that a PDU may be of."""

    room_version: RoomVersion
    source: VersionSource
    unknown_version: str | None = None
    """What a create event names, where that is no version known here. Then it is read
    as of `room_version` to see who signed it, and for nothing else."""


# Of those that sign the same things, the newest stands for all. Down to 5: what a
# version of before would allow, a key that was no longer valid, a guess must not.
_NEWEST = ("11", "10", "8", "7", "5")

_VERSIONS = {**ROOM_VERSIONS, "2014": EVENTS_OF_2014}


def assume_room_versions(
    pdu: Json, recorded: str | None, default: RoomVersion
) -> Sequence[Assumption]:
    """The room versions that a PDU may be of, the one to try first at the front.

    `recorded` is the version that the create event of its room names. Raises
    `InvalidParam` where that is an unknown one, or a create event names what can be
    none.
    """
    content = pdu.get("content")
    if pdu.get("type") == "m.room.create" and isinstance(content, dict):
        return _of_create_event(pdu, content.get("room_version", "1"))
    if recorded is not None:
        if recorded not in ROOM_VERSIONS:
            raise InvalidParam(
                f"the create event of its room names room version {quote(recorded)}, "
                "which is not known here"
            )
        return _named(pdu, ROOM_VERSIONS[recorded])
    if _has_hash_room_id(pdu):
        return [Assumption(ROOM_VERSIONS["12"], VersionSource.EVENT_FORMAT)]
    return _guesses(_formats(pdu), default.version)


def _of_create_event(pdu: Json, named: object) -> Sequence[Assumption]:
    """Client-server API, "m.room.create": a room that names no version has "1"."""
    if not is_room_version(named) or named in ROOM_VERSIONS:
        return _named(pdu, parse_room_version(named))
    possible = _formats(pdu)
    if "room_id" not in pdu or _has_hash_room_id(pdu):
        possible = ("12",)  # the room ID is the event's hash, and not sent
    source = VersionSource.CREATE_EVENT
    return [Assumption(_VERSIONS[each], source, str(named)) for each in possible]


def _named(pdu: Json, room_version: RoomVersion) -> Sequence[Assumption]:
    possible = [room_version]
    if room_version.version == "1" and _is_signed_otherwise_in_2014(pdu):
        possible.append(EVENTS_OF_2014)
    return [Assumption(each, VersionSource.CREATE_EVENT) for each in possible]


def _formats(pdu: Json) -> tuple[str, ...]:
    """One version of each format that the PDU may have, of 1 to 11."""
    if "event_id" not in pdu or _refers_by_id(pdu):
        return _NEWEST
    return ("2", "2014") if _is_signed_otherwise_in_2014(pdu) else ("2",)


def _has_hash_room_id(pdu: Json) -> bool:
    room_id = pdu.get("room_id")
    return isinstance(room_id, str) and is_hash_room_id(room_id)


def _refers_by_id(pdu: Json) -> bool:
    """Whether it names other events as version 3 and later do, by their IDs alone."""
    references = pdu.get("prev_events"), pdu.get("auth_events")
    return any(
        isinstance(each, str)
        for those in references
        if isinstance(those, list)
        for each in those
    )


def _is_signed_otherwise_in_2014(pdu: Json) -> bool:
    """Whether `EVENTS_OF_2014` redacts it to something else than version 1 does."""
    return pdu.get("type") == "m.room.history_visibility" or "membership" in pdu


@cache  # for few formats and one default, and asked of each event
def _guesses(possible: tuple[str, ...], default: str) -> Sequence[Assumption]:
    """The possible versions; the default comes first, and stands for its like."""
    versions = [_VERSIONS[each] for each in possible]
    others = [each for each in versions if not _look_alike(each, _VERSIONS[default])]
    guesses = [Assumption(each, VersionSource.EVENT_FORMAT) for each in others]
    if len(others) < len(versions):
        guesses.insert(0, Assumption(_VERSIONS[default], VersionSource.DEFAULT))
    return tuple(guesses)


def _look_alike(one: RoomVersion, other: RoomVersion) -> bool:
    """Whether nothing that can be seen of an event tells two versions apart."""
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
