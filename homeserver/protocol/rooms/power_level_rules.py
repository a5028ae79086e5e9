"""The rules on `m.room.power_levels`: its form, and the changes a sender may make.

Rules: one function for each rule of the text, in its order. Levels are compared after
parsing, so that replacing 60 by "60" is no change. An absent level has no value.

Specification: Room Versions, "Authorisation rules", "If type is
`m.room.power_levels`".
"""

from collections.abc import Iterator

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import quote
from homeserver.protocol.rooms.power_levels import (
    DEFAULTS,
    Power,
    parse_level,
    read_levels,
    show,
)
from homeserver.protocol.rooms.rules import (
    OTHERWISE_ALLOW,
    Allow,
    Answer,
    Case,
    Refuse,
    Rule,
    is_user_id,
)
from homeserver.protocol.rooms.state import creators
from homeserver.protocol.rooms.versions import VersionRules

_SCALARS = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)

# The values of absent levels, for the reading that compares with them.
_DEFAULTS = {**DEFAULTS, "users_default": 0, "events_default": 0, "state_default": 50}

Change = tuple[str, int | None, int | None]
"""The name of a level, its old value and its new one; None where it is absent."""


def power_level_rules(rules: VersionRules) -> tuple[Rule, ...]:
    """The rule "If type is `m.room.power_levels`"."""
    integers: tuple[Rule, ...] = (
        () if rules.has_text_levels else (levels_are_integers, entries_are_integers)
    )
    creators_rule: tuple[Rule, ...] = (
        (names_no_creator,) if rules.has_privileged_creators else ()
    )
    return (
        *integers,
        users_have_levels,
        *creators_rule,
        are_the_first,
        may_change_levels,
        may_take_entries,
        may_give_entries,
        may_take_from_users,
        may_give_to_users,
        OTHERWISE_ALLOW,
    )


def check_integers(content: Json) -> None:
    """Refuse levels that are not integers, with `UnreadableLevel`.

    Room versions 1 to 9 allow strings, and 1 to 5 floats, in the events of others. The
    Server-server API, "Authorisation rules", asks servers not to send new ones.
    """
    rules = VersionRules(has_text_levels=False)
    for name in _SCALARS:
        if name in content:
            parse_level(content[name], rules)
    for member in ("users", "events", "notifications"):
        read_levels(content, member, rules)


def levels_are_integers(case: Case) -> Answer:
    """Version 10 on: each level that is there is an integer, or reject."""
    for name in _SCALARS:
        if name in case.content:
            parse_level(case.content[name], case.rules)
    return None


def entries_are_integers(case: Case) -> Answer:
    """Version 10 on: `events` and `notifications` are objects of integers."""
    for member in case.rules.checked_levels:
        read_levels(case.content, member, case.rules)
    return None


def users_have_levels(case: Case) -> Answer:
    """`users` is an object of user IDs and levels, or reject."""
    for user_id in read_levels(case.content, "users", case.rules):
        if not is_user_id(user_id):
            return Refuse(f"{quote(user_id)} of `users` is not a user ID")
    return None


def names_no_creator(case: Case) -> Answer:
    """Version 12: if `users` contains a creator, reject."""
    users = read_levels(case.content, "users", case.rules)
    found = users.keys() & _creators(case)
    if found:
        return Refuse(f"`users` names a creator of the room: {quote(min(found))}")
    return None


def are_the_first(case: Case) -> Answer:
    """If there were no power levels before, allow."""
    if case.levels.event is None:
        return Allow("these are the first power levels of the room")
    if case.event.state_key and case.switches.other_power_levels_are_free:
        switch = "other_power_levels_are_free"
        return Allow("levels with a state key give no power", switch)
    return None


def may_change_levels(case: Case) -> Answer:
    """Of each level that changes, neither value is above the sender's power."""
    power = case.levels.of(case.sender)
    for name, old, new in _changes(_scalars(case, _old(case)), _scalars(case)):
        switch = ""
        if old is None and case.switches.absent_levels_have_defaults:
            old, switch = _DEFAULTS[name], "absent_levels_have_defaults"  # noqa: PLW2901
        for value in (old, new):
            if value is not None and value > power:
                return Refuse(_above(f"`{name}`", value, power), switch)
    return None


def may_take_entries(case: Case) -> Answer:
    """Of each entry that changes or goes, the old level is not above the sender's."""
    power = case.levels.of(case.sender)
    for name, old, _ in _entries(case):
        if old is not None and old > power:
            return Refuse(_above(name, old, power))
    return None


def may_give_entries(case: Case) -> Answer:
    """Of each entry that changes or comes, the new level is not above the sender's."""
    power = case.levels.of(case.sender)
    for name, _, new in _entries(case):
        if new is not None and new > power:
            return Refuse(_above(name, new, power))
    return None


def may_take_from_users(case: Case) -> Answer:
    """The old level of each other user that changes or goes is below the sender's."""
    power = case.levels.of(case.sender)
    for user_id, old, _ in _users(case):
        if user_id != case.sender and old is not None and old >= power:
            return Refuse(
                f"the sender's power {show(power)} is not more than the {old} of "
                f"{quote(user_id)}"
            )
    return None


def may_give_to_users(case: Case) -> Answer:
    """The new level of each user that changes or comes is not above the sender's."""
    power = case.levels.of(case.sender)
    for user_id, _, new in _users(case):
        if new is not None and new > power:
            return Refuse(_above(f"`users` of {quote(user_id)}", new, power))
    return None


def _creators(case: Case) -> frozenset[str | None]:
    return frozenset() if case.create is None else creators(case.create, case.rules)


def _old(case: Case) -> Json:
    """The content of the power levels before."""
    return {} if case.levels.event is None else case.levels.event.content


def _scalars(case: Case, content: Json | None = None) -> dict[str, int]:
    levels = case.content if content is None else content
    return {
        name: parse_level(levels[name], case.rules)
        for name in _SCALARS
        if name in levels
    }


def _entries(case: Case) -> Iterator[Change]:
    """The changes in the objects of levels other than `users`."""
    for member in case.rules.checked_levels:
        old = read_levels(_old(case), member, case.rules)
        new = read_levels(case.content, member, case.rules)
        for name, before, after in _changes(old, new):
            yield f"`{member}` of {quote(name)}", before, after


def _users(case: Case) -> Iterator[Change]:
    old = read_levels(_old(case), "users", case.rules)
    return _changes(old, read_levels(case.content, "users", case.rules))


def _changes(old: dict[str, int], new: dict[str, int]) -> Iterator[Change]:
    """The differences, sorted, so that a sentence does not depend on the peer."""
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _above(what: str, value: int, power: Power) -> str:
    return f"the sender's power {show(power)} is less than the {value} of {what}"
