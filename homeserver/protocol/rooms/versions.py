"""Room versions: the differences in authorization and state resolution.

Rules: every difference between room versions is in this table, except the form of
events, which is in `homeserver.protocol.events.room_versions`.

Specification: Room Versions, "Authorisation rules" and "State resolution" of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from homeserver.protocol.events.room_versions import RoomVersion


class StateResolution(Enum):
    """The algorithm that resolves the state of a room of several branches."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


@dataclass(frozen=True, slots=True)
class VersionRules:
    """The authorization rules and the state resolution of a room version."""

    state_resolution: StateResolution = StateResolution.V2

    has_create_in_auth_events: bool = True
    """Each event cites the create event (1 to 11)."""

    has_creator_in_content: bool = True
    """`creator` of the create event names the creator, not its sender (1 to 10)."""

    has_privileged_creators: bool = False
    """Creators have infinite power, and there may be several (12)."""

    has_aliases_rule: bool = False
    """A server sets its own aliases, members or not (1 to 5)."""

    has_redaction_rule: bool = False
    """A redaction without the power for it is rejected (1 and 2)."""

    has_float_levels: bool = False
    """A power level may be a float, of which the whole part counts (1 to 5)."""

    has_text_levels: bool = True
    """A power level may be a string of digits (1 to 9)."""

    checked_levels: tuple[str, ...] = ("events", "notifications")
    """Objects of levels of which a change needs power; `notifications` from 6 on."""

    has_signed_joins: bool = True
    """A join may name a user whose server authorised it (8 and later)."""

    invited_only: frozenset[str] = frozenset({"invite", "knock"})
    """Join rules by which only invited users may join."""

    restricted: frozenset[str] = frozenset({"restricted", "knock_restricted"})
    """Join rules by which a user of the room may let another one in."""

    knockable: frozenset[str] = frozenset({"knock", "knock_restricted"})
    """Join rules by which users may knock; empty before version 7."""

    max_depth: int = 2**53 - 1
    """The depth at which events stay: canonical JSON's limit from 6 on."""


_V10 = VersionRules(has_text_levels=False)
_V11 = replace(_V10, has_creator_in_content=False)
_V12 = replace(
    _V11,
    state_resolution=StateResolution.V2_1,
    has_create_in_auth_events=False,
    has_privileged_creators=True,
)
_V8 = VersionRules(restricted=frozenset({"restricted"}), knockable=frozenset({"knock"}))
_V7 = replace(_V8, has_signed_joins=False, restricted=frozenset())
_V6 = replace(_V7, invited_only=frozenset({"invite"}), knockable=frozenset())
_V3 = replace(
    _V6,
    has_aliases_rule=True,
    has_float_levels=True,
    checked_levels=("events",),
    max_depth=2**63 - 1,
)
_V2 = replace(_V3, has_redaction_rule=True)
_V1 = replace(_V2, state_resolution=StateResolution.V1)

_RULES: Mapping[str, VersionRules] = {
    "1": _V1,
    "2": _V2,
    "3": _V3,
    "4": _V3,
    "5": _V3,
    "6": _V6,
    "7": _V7,
    "8": _V8,
    "9": _V8,
    "10": _V10,
    "11": _V11,
    "12": _V12,
}


def rules_of(room_version: RoomVersion) -> VersionRules:
    """The rules of a room version; the table has each known version."""
    return _RULES[room_version.version]
