"""Of which room version a PDU may be, and what that rests on.

Rules of the room: a PDU does not say its version itself, so each answer names its
ground. That a PDU is of an assumed version, its servers' signatures have to prove.

Specification: Room Versions; Client-server API, "m.room.create".
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from homeserver.protocol.canonical import Json
from homeserver.protocol.names import is_hash_room_id
from homeserver.protocol.room_versions import (
    EVENTS_OF_2014,
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
    parse_room_version,
)


class Basis(Enum):
    """What the room version of a PDU rests on."""

    CREATE_EVENT = "create event"
    """Its room's create event, or itself if it is that."""

    SHAPE = "shape"
    """Its form, and that it was signed so: it is of this version, or of another one
    that differs in nothing that can be seen of it."""

    DEFAULT = "default"
    """Its form allows several, of which one is what the configuration says."""


class Assumption(Struct, frozen=True):
    """A room version that a PDU may be of."""

    room_version: RoomVersion
    basis: Basis


# Of those that sign the same things, the newest stands for all. Down to 5: what a
# version of before would allow, a key that was no longer valid, a guess must not.
_NEWEST = [ROOM_VERSIONS[version] for version in ("11", "10", "8", "7", "5")]

# What version 11 no longer keeps in redaction, nobody sends any more.
_OF_BEFORE_11 = ROOM_VERSIONS["10"].kept_members - ROOM_VERSIONS["11"].kept_members


def assume_room_versions(
    pdu: Json, recorded: str | None, default: RoomVersion
) -> Sequence[Assumption]:
    """The room versions that a PDU may be of, the one to try first at the front.

    A create event names its own; `InvalidParam` if that is an unknown one. Of another
    event, it is the `recorded` one of the room's create event. Where that is not
    known, it may be each one whose form the event has: first `default`, if it is one
    of those, then the newest.
    """
    content = pdu.get("content")
    if "user_id" in pdu and "sender" not in pdu and recorded in {None, "1"}:
        return [Assumption(EVENTS_OF_2014, Basis.SHAPE)]
    if pdu.get("type") == "m.room.create" and isinstance(content, dict):
        # Client-server API, "m.room.create": a room that names no version has "1".
        own = parse_room_version(content.get("room_version", "1"))
        return [Assumption(own, Basis.CREATE_EVENT)]
    if recorded is not None:
        return [Assumption(parse_room_version(recorded), Basis.CREATE_EVENT)]
    room_id = pdu.get("room_id")
    if isinstance(room_id, str) and is_hash_room_id(room_id):
        return [Assumption(ROOM_VERSIONS["12"], Basis.SHAPE)]
    if "event_id" in pdu:
        possible = [ROOM_VERSIONS["2"]]
    else:
        possible = _NEWEST if _OF_BEFORE_11.isdisjoint(pdu) else _NEWEST[1:]
    others = [each for each in possible if not _look_alike(each, default)]
    if len(others) == len(possible):
        return [Assumption(each, Basis.SHAPE) for each in possible]
    return [
        Assumption(default, Basis.DEFAULT),
        *(Assumption(each, Basis.SHAPE) for each in others),
    ]


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
