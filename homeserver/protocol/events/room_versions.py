"""Room versions: what each decides about the format of its events.

Rules: all differences in event format between room versions are in this one table.

Specification: Room Versions; "Redactions" of each.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from homeserver.protocol.errors import InvalidParam, quote


class IdFormat(Enum):
    """How an event gets its ID."""

    SENT = auto()
    """The sender chooses the ID and sends it: `$opaque:server`."""

    BASE64 = auto()
    """The reference hash, in standard base64."""

    URLSAFE = auto()
    """The reference hash, in URL-safe base64."""


KeptContent = Mapping[str, frozenset[str] | None]
"""{event type: members of `content` that redaction keeps}; None keeps them all."""


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """What a room version decides about the format of its events."""

    version: str
    id_format: IdFormat
    kept_members: frozenset[str]
    kept_content: KeptContent
    keeps_signed_invite: bool = False
    """Redaction keeps `third_party_invite` of a member event, and of it `signed` alone
    (11 and later)."""

    is_strict: bool = True
    """Canonical JSON is enforced (6 and later)."""

    enforces_key_validity: bool = True
    """A key verifies an event only if it was valid when it was sent (5 and later)."""

    has_restricted_joins: bool = True
    """The server that authorised a restricted join must sign it (8 and later)."""

    has_hash_room_id: bool = False
    """The room ID is the hash of the create event, which does not contain it (12)."""

    redacts_in_content: bool = False
    """`redacts` is in the `content` of a redaction (11 and later)."""


_KEPT = frozenset(
    [
        "event_id",
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "hashes",
        "signatures",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
    ]
)
_KEPT_1 = _KEPT | {"prev_state", "origin", "membership"}

_POWER_LEVELS = frozenset(
    [
        "ban",
        "events",
        "events_default",
        "kick",
        "redact",
        "state_default",
        "users",
        "users_default",
    ]
)
_R1: KeptContent = {
    "m.room.member": frozenset({"membership"}),
    "m.room.create": frozenset({"creator"}),
    "m.room.join_rules": frozenset({"join_rule"}),
    "m.room.power_levels": _POWER_LEVELS,
    "m.room.aliases": frozenset({"aliases"}),
    "m.room.history_visibility": frozenset({"history_visibility"}),
}
_R6 = {kind: kept for kind, kept in _R1.items() if kind != "m.room.aliases"}
_R8 = _R6 | {"m.room.join_rules": frozenset({"join_rule", "allow"})}
_R9 = _R8 | {
    "m.room.member": frozenset({"membership", "join_authorised_via_users_server"})
}
_R11 = _R9 | {
    "m.room.create": None,
    "m.room.power_levels": _POWER_LEVELS | {"invite"},
    "m.room.redaction": frozenset({"redacts"}),
}


def _old(version: str, id_format: IdFormat, *, validity: bool) -> RoomVersion:
    return RoomVersion(
        version,
        id_format,
        _KEPT_1,
        _R1,
        is_strict=False,
        enforces_key_validity=validity,
        has_restricted_joins=False,
    )


ROOM_VERSIONS: Mapping[str, RoomVersion] = {
    room_version.version: room_version
    for room_version in (
        _old("1", IdFormat.SENT, validity=False),
        _old("2", IdFormat.SENT, validity=False),
        _old("3", IdFormat.BASE64, validity=False),
        _old("4", IdFormat.URLSAFE, validity=False),
        _old("5", IdFormat.URLSAFE, validity=True),
        RoomVersion("6", IdFormat.URLSAFE, _KEPT_1, _R6, has_restricted_joins=False),
        RoomVersion("7", IdFormat.URLSAFE, _KEPT_1, _R6, has_restricted_joins=False),
        RoomVersion("8", IdFormat.URLSAFE, _KEPT_1, _R8),
        RoomVersion("9", IdFormat.URLSAFE, _KEPT_1, _R9),
        RoomVersion("10", IdFormat.URLSAFE, _KEPT_1, _R9),
        RoomVersion(
            "11",
            IdFormat.URLSAFE,
            _KEPT,
            _R11,
            keeps_signed_invite=True,
            redacts_in_content=True,
        ),
        RoomVersion(
            "12",
            IdFormat.URLSAFE,
            _KEPT,
            _R11,
            keeps_signed_invite=True,
            has_hash_room_id=True,
            redacts_in_content=True,
        ),
    )
}

# The signed events of the servers of November 2014 (Synapse 0.5), in rooms that later
# became version 1: redaction keeps fewer members.
EVENTS_OF_2014 = RoomVersion(
    "1",
    IdFormat.SENT,
    _KEPT_1 - {"membership"},
    {kind: kept for kind, kept in _R1.items() if kind != "m.room.history_visibility"},
    is_strict=False,
    enforces_key_validity=False,
    has_restricted_joins=False,
)

DEFAULT_ROOM_VERSION = ROOM_VERSIONS["12"]  # Room Versions, "Feature matrix"


# Room Versions, "Grammar".
_ROOM_VERSION = re.compile(r"[a-z0-9.-]{1,32}")


def is_room_version(value: object) -> bool:
    """Whether a value matches the grammar of room versions, known or not."""
    return isinstance(value, str) and _ROOM_VERSION.fullmatch(value) is not None


def parse_room_version(value: object) -> RoomVersion:
    """The room version of that name; `InvalidParam` if it is unknown."""
    room_version = ROOM_VERSIONS.get(value) if isinstance(value, str) else None
    if room_version is None:
        raise InvalidParam(unknown_room_version(value))
    return room_version


def unknown_room_version(value: object) -> str:
    """The error message for an unknown room version."""
    known = ", ".join(sorted(ROOM_VERSIONS, key=int))
    return f"unknown room version {quote(value)}; known: {known}"
