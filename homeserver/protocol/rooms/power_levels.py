"""Power levels: the power of users, and the power that actions need.

Rules: a level is parsed when it is needed, by the rules of its room version. A level
that cannot be parsed raises `UnreadableLevel`, and the event that needed it is refused.
The power of version 12's creators is `INFINITE`, which is above every number.

Specification: Client-server API, `m.room.power_levels`; Room Versions, "Values in
`m.room.power_levels` events must be integers", and the formats before version 10.
"""

import math
import re
from typing import Final

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import creators
from homeserver.protocol.rooms.versions import VersionRules

Power = int | float
"""A power level, or `INFINITE`."""

INFINITE: Final = math.inf
"""The power of a creator of version 12: above every level, equal to itself."""

DEFAULTS = {"ban": 50, "kick": 50, "redact": 50, "invite": 0}

_CREATOR_POWER = 100  # of versions 1 to 11, where there are no power levels yet
_STATE_DEFAULT = 50

# Blanks, a sign, digits of ASCII: Python's own conversion takes those of every
# script, and underscores.
_TEXT_LEVEL = re.compile(r"\s*[+-]?[0-9]+\s*")
_MAX_DIGITS = 40  # far more than a level's; conversion of very long ones is slow
_MAX_TEXT_LEVEL = 2**63 - 1  # other servers hold a level in 64 bits


class UnreadableLevel(Exception):
    """A power level is of a form that its room version does not have."""


def parse_level(value: object, rules: VersionRules) -> int:
    """Parse a power level; `UnreadableLevel` if the room version has no such form."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and rules.has_float_levels and math.isfinite(value):
        return math.trunc(value)
    if isinstance(value, str) and rules.has_text_levels:
        level = _parse_text(value)
        if level is not None:
            return level
    raise UnreadableLevel(f"{quote(value)} is not a power level")


def _parse_text(text: str) -> int | None:
    if len(text) > _MAX_DIGITS or not _TEXT_LEVEL.fullmatch(text):
        return None
    level = int(text)
    return level if abs(level) <= _MAX_TEXT_LEVEL else None


def read_levels(content: Json, member: str, rules: VersionRules) -> dict[str, int]:
    """The levels in one member of `content`: {name: level}; none where it is absent.

    Raises `UnreadableLevel` where it is not an object of levels.
    """
    levels = content.get(member, {})
    if not isinstance(levels, dict):
        raise UnreadableLevel(f"`{member}` is not an object of power levels")
    return {name: parse_level(level, rules) for name, level in levels.items()}


def show(power: Power) -> str:
    """A power, as a sentence names it."""
    return "infinite" if power == INFINITE else str(power)


class PowerLevels:
    """The power levels of a room at one point of its history."""

    def __init__(
        self, event: Event | None, create: Event | None, rules: VersionRules
    ) -> None:
        """Those of a `m.room.power_levels` event, if there is one, and a create event.

        Without a create event there are no creators.
        """
        self.event = event
        self._rules = rules
        self._content: Json = {} if event is None else event.content
        self._creators = frozenset() if create is None else creators(create, rules)

    def of(self, user_id: str) -> Power:
        """The power of a user."""
        is_creator = user_id in self._creators
        if is_creator and self._rules.has_privileged_creators:
            return INFINITE
        if self.event is None:
            return _CREATOR_POWER if is_creator else 0
        level = self._level_in("users", user_id)
        return self._level("users_default", 0) if level is None else level

    def required(self, kind: str, *, is_state: bool) -> int:
        """The power that it takes to send an event of a type."""
        level = self._level_in("events", kind)
        if level is not None:
            return level
        if is_state:
            return self._level("state_default", _STATE_DEFAULT)
        return self._level("events_default", 0)

    def to(self, action: str) -> int:
        """The power that it takes to `ban`, `kick`, `redact` or `invite`."""
        return self._level(action, DEFAULTS[action])

    def _level(self, name: str, default: int) -> int:
        if name not in self._content:
            return default
        return parse_level(self._content[name], self._rules)

    def _level_in(self, member: str, name: str) -> int | None:
        levels = self._content.get(member, {})
        if not isinstance(levels, dict):
            raise UnreadableLevel(f"`{member}` is not an object of power levels")
        return parse_level(levels[name], self._rules) if name in levels else None
