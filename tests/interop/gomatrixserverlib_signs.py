"""By what each known difference to gomatrixserverlib's rules is recognised.

Rules: a function for each row of `gomatrixserverlib_differences.RULES`, which says
whether a judgement of two verdicts may rest on it.
"""

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.auth_events import invite_token
from homeserver.protocol.rooms.power_levels import UnreadableLevel, parse_level
from homeserver.protocol.rooms.state import JOIN_RULES, POWER_LEVELS, membership
from homeserver.protocol.rooms.versions import rules_of
from tests.interop.gomatrixserverlib_rooms import Judgement

_SCALARS = ["ban", "invite", "kick", "redact"]
_SCALARS += ["users_default", "events_default", "state_default"]
_OBJECTS = ("users", "events", "notifications")


def _version(each: Judgement) -> int:
    return int(each.event.room_version.version)


def _is_looser(each: Judgement) -> bool:
    return bool(each.ours) and not each.theirs


def _is_stricter(each: Judgement) -> bool:
    return bool(each.theirs) and not each.ours


def _join_rule(each: Judgement) -> object:
    rules = each.state.get(JOIN_RULES)
    return None if rules is None else rules.content.get("join_rule")


def _target(each: Judgement) -> str:
    return membership(each.state, each.event.state_key or "")


def _invite(each: Judgement) -> bool:
    return "third_party_invite" in each.event.content


def aliases(each: Judgement) -> bool:
    """A version without a rule of its own for aliases."""
    return each.event.type == "m.room.aliases" and _version(each) >= 6


def any_join_rule(each: Judgement) -> bool:
    """An invited or joined user joins by a join rule that admits no user."""
    return (
        _is_looser(each)
        and "the join rule" in each.ours
        and each.event.content.get("membership") == "join"
        and _target(each) in {"invite", "join"}
    )


def early_join_rule(each: Judgement) -> bool:
    """`knock_restricted` in a version that does not have it."""
    return (
        _is_looser(each)
        and "the join rule" in each.ours
        and _join_rule(each) == "knock_restricted"
        and _version(each) in {7, 8, 9}
    )


def second_leave(each: Judgement) -> bool:
    """A user leaves who is not in the room."""
    return (
        _is_looser(each)
        and each.event.content.get("membership") == "leave"
        and each.event.state_key == each.event.sender.user_id
        and _target(each) == "leave"
    )


def unban(each: Judgement) -> bool:
    """A user who is banned is made to leave."""
    return (
        _is_looser(each)
        and each.event.content.get("membership") == "leave"
        and _target(each) == "ban"
        and each.event.state_key != each.event.sender.user_id
    )


def single_key(each: Judgement) -> bool:
    """No signature verifies, where there is no usable `public_keys`."""
    if not (_is_stricter(each) and "verify signature" in each.theirs):
        return False
    token = invite_token(each.event.content) or ""
    offered = each.state.get(("m.room.third_party_invite", token))
    keys = None if offered is None else offered.content.get("public_keys")
    return not (isinstance(keys, list) and keys)


def knocked(each: Judgement) -> bool:
    """A knocking user joins."""
    return (
        _is_stricter(each)
        and each.event.content.get("membership") == "join"
        and _target(each) == "knock"
    )


def invite_key(each: Judgement) -> bool:
    """A third-party invite whose token begins with @."""
    return (
        _is_stricter(each)
        and each.event.type == "m.room.third_party_invite"
        and (each.event.state_key or "").startswith("@")
    )


def banned_invite(each: Judgement) -> bool:
    """A third-party invite of a banned user."""
    return _is_looser(each) and _invite(each) and _target(each) == "ban"


def other_membership(each: Judgement) -> bool:
    """Another membership than an invite, with a `third_party_invite`."""
    return (
        _is_stricter(each)
        and _invite(each)
        and each.event.content.get("membership") != "invite"
    )


def foreign_invite(each: Judgement) -> bool:
    """A third-party invite that rests on another user's token."""
    if not _is_looser(each):
        return False
    token = invite_token(each.event.content) or ""
    offered = each.state.get(("m.room.third_party_invite", token))
    return offered is not None and offered.sender != each.event.sender


def first_join(each: Judgement) -> bool:
    """A join right after the create event, by another user than it is for."""
    return (
        _is_stricter(each)
        and each.event.content.get("membership") == "join"
        and each.event.sender.user_id != each.event.state_key
        and len(each.event.prev_event_ids) == 1
    )


def notifications(each: Judgement) -> bool:
    """A change of notification levels."""
    return _is_stricter(each) and "change notification level" in each.theirs


def users_default(each: Judgement) -> bool:
    """A `users_default` above the sender's power."""
    return _is_looser(each) and each.ours.endswith("of `users_default`")


def absent_entry(each: Judgement) -> bool:
    """An entry is added or removed; with the default in its place it is changed."""
    if each.event.type != "m.room.power_levels":
        return False
    old = each.state.get(POWER_LEVELS)
    before = {} if old is None else old.content
    if any((name in before) != (name in each.event.content) for name in _SCALARS):
        return True
    return any(
        set(_entries(before, name)) != set(_entries(each.event.content, name))
        for name in ("users", "events")
    )


def _entries(content: object, name: str) -> dict[str, object]:
    entries = content.get(name) if isinstance(content, dict) else None
    return entries if isinstance(entries, dict) else {}


def typed_content(each: Judgement) -> bool:
    """Some member of a content, which no rule reads, is not of its usual type."""
    if _is_stricter(each) and "unparseable" in each.theirs:
        return True
    rules = each.state.get(JOIN_RULES)
    return (
        each.event.type == "m.room.member"
        and rules is not None
        and not _is_allow(rules.content.get("allow"))
    )


def _is_allow(allow: object) -> bool:
    if allow is None:
        return True
    return isinstance(allow, list) and all(isinstance(each, dict) for each in allow)


def unread_levels(each: Judgement) -> bool:
    """Some level is of no form that the room version has."""
    known = [each.state.get(POWER_LEVELS)]
    known += [each.event] if each.event.type == "m.room.power_levels" else []
    return any(event is not None and has_unread_levels(event) for event in known)


def has_unread_levels(power_levels: Event) -> bool:
    """Some level of power levels is of no form that the room version has."""
    content = power_levels.content
    levels = [content[name] for name in _SCALARS if name in content]
    for name in _OBJECTS:
        entries = content.get(name, {})
        levels += entries.values() if isinstance(entries, dict) else [None]
    rules = rules_of(power_levels.room_version)
    try:
        for level in levels:
            parse_level(level, rules)
    except UnreadableLevel:
        return True
    return False
