"""The rules on memberships: join, invite, leave, ban, knock.

Rules: one function for each rule of the text, in its order. The target of a member
event is the user in its state key.

Specification: Room Versions, "Authorisation rules", "If type is `m.room.member`".
"""

from collections.abc import Callable

from homeserver.protocol.errors import quote
from homeserver.protocol.rooms.invite_rules import invite_rules
from homeserver.protocol.rooms.power_levels import show
from homeserver.protocol.rooms.rules import (
    Allow,
    Answer,
    Case,
    Group,
    Refuse,
    Rule,
    is_user_id,
    named,
)
from homeserver.protocol.rooms.sender_rules import lacks_power, sender_is_in_the_room
from homeserver.protocol.rooms.state import creator, membership_of
from homeserver.protocol.rooms.versions import VersionRules

_IN_OR_INVITED = frozenset({"invite", "join"})


def member_rules(rules: VersionRules) -> tuple[Rule, ...]:
    """The rule "If type is `m.room.member`"."""
    signed: tuple[Rule, ...] = (authorised_by_a_user,) if rules.has_signed_joins else ()
    knock: tuple[Rule, ...] = (
        (Group(_becomes("knock"), _KNOCK),) if rules.knockable else ()
    )
    return (
        names_membership,
        *signed,
        Group(_becomes("join"), _join_rules(rules)),
        Group(_becomes("invite"), invite_rules()),
        Group(_becomes("leave"), _LEAVE),
        Group(_becomes("ban"), _BAN),
        *knock,
        membership_is_unknown,
    )


def _becomes(membership: str) -> Callable[[Case], bool]:
    return lambda case: membership_of(case.event) == membership


def names_membership(case: Case) -> Answer:
    """If there is no `state_key` or no `content.membership`, reject."""
    if case.event.state_key is None:
        return Refuse("a member event has no state key")
    if not isinstance(case.content.get("membership"), str):
        return Refuse("`content` of a member event has no `membership`")
    if not is_user_id(case.target) and case.switches.member_keys_are_user_ids:
        return Refuse(
            f"the state key {quote(case.target)} of a member event is not a user ID",
            "member_keys_are_user_ids",
        )
    return None


def authorised_by_a_user(case: Case) -> Answer:
    """Version 8 on: the authorising user of a restricted join is a user ID.

    The caller has verified the signature of that user's server.
    """
    is_join = membership_of(case.event) == "join"
    if "join_authorised_via_users_server" not in case.content:
        return None
    if not is_join and case.switches.only_joins_are_authorised:
        return None
    via = case.content["join_authorised_via_users_server"]
    if not isinstance(via, str) or not is_user_id(via):
        switch = "" if is_join else "only_joins_are_authorised"
        return Refuse(f"the authorising user {quote(via)} is not a user ID", switch)
    return None


def _join_rules(rules: VersionRules) -> tuple[Rule, ...]:
    restricted: tuple[Rule, ...] = (
        (Group(_is_restricted, _RESTRICTED),) if rules.restricted else ()
    )
    return (
        first_join_of_the_creator,
        joins_itself,
        is_not_banned,
        was_invited,
        *restricted,
        room_is_public,
        join_rule_bars,
    )


def first_join_of_the_creator(case: Case) -> Answer:
    """If the only previous event is the create event, the creator may join."""
    create = case.create
    if create is None or case.event.prev_event_ids != (create.event_id,):
        return None
    if case.target == creator(create, case.rules):
        return Allow("the creator joins right after the create event")
    return None


def joins_itself(case: Case) -> Answer:
    """If the sender does not match the state key, reject."""
    if case.sender != case.target:
        return Refuse(f"{named(case.sender)} cannot join for {named(case.target)}")
    return None


def is_not_banned(case: Case) -> Answer:
    """If the sender is banned, reject."""
    if case.membership(case.sender) == "ban":
        return Refuse(f"{named(case.sender)} is banned")
    return None


def was_invited(case: Case) -> Answer:
    """If the join rule asks for an invite, allow invited and joined users."""
    rule, switch = case.join_rule, ""
    if rule is None and case.switches.absent_join_rule_is_invite:
        rule, switch = "invite", "absent_join_rule_is_invite"
    if rule in case.rules.invited_only and _is_in_or_invited(case):
        return Allow(_has_membership(case), switch)
    return None


def _is_restricted(case: Case) -> bool:
    return case.join_rule in case.rules.restricted


def is_in_or_invited(case: Case) -> Answer:
    """If membership state is `join` or `invite`, allow."""
    return Allow(_has_membership(case)) if _is_in_or_invited(case) else None


def authorising_user_may_invite(case: Case) -> Answer:
    """The authorising user is in the room, with the power to invite, or reject."""
    via = case.content.get("join_authorised_via_users_server")
    if not isinstance(via, str):
        return Refuse("the room is restricted, and no user of it authorised the join")
    if case.membership(via) != "join":
        return Refuse(f"the authorising user {named(via)} is not in the room")
    return lacks_power(case, "invite", via)


_RESTRICTED: tuple[Rule, ...] = (
    is_in_or_invited,
    authorising_user_may_invite,
    Allow("a user of the room authorised the join"),
)


def room_is_public(case: Case) -> Answer:
    """If the join rule is `public`, allow."""
    return Allow("the room is public") if case.join_rule == "public" else None


def join_rule_bars(case: Case) -> Answer:
    """Otherwise, reject."""
    user = f"{named(case.sender)}, whose membership is {case.membership(case.sender)}"
    if case.join_rule is not None:
        return Refuse(f"the join rule {quote(case.join_rule)} does not admit {user}")
    switch = "absent_join_rule_is_invite" if _is_in_or_invited(case) else ""
    return Refuse(f"no join rule admits {user}", switch)


def _is_in_or_invited(case: Case) -> bool:
    return case.membership(case.sender) in _IN_OR_INVITED


def _has_membership(case: Case) -> str:
    return f"the membership of {named(case.sender)} is {case.membership(case.sender)}"


def leaves_itself(case: Case) -> Answer:
    """If sender and state key match: allow joined, invited, (7 on) knocking users."""
    if case.sender != case.target:
        return None
    membership = case.membership(case.sender)
    may_knock = membership == "knock" and case.rules.knockable
    if membership in _IN_OR_INVITED or may_knock:
        return Allow(f"{named(case.sender)} leaves")
    return Refuse(f"{named(case.sender)} cannot leave: its membership is {membership}")


def may_unban(case: Case) -> Answer:
    """If the target is banned, it takes the ban level to let it go."""
    if case.membership(case.target) == "ban":
        return lacks_power(case, "ban", case.sender)
    return None


def may_kick(case: Case) -> Answer:
    """With the kick level and more power than the target, allow."""
    return _overpowers(case, "kick")


def may_ban(case: Case) -> Answer:
    """With the ban level and more power than the target, allow."""
    return _overpowers(case, "ban")


def has_too_little_power(case: Case) -> Answer:
    """Otherwise, reject."""
    action = "ban" if membership_of(case.event) == "ban" else "kick"
    missing = lacks_power(case, action, case.sender)
    if missing is not None:
        return missing
    power, target = case.levels.of(case.sender), case.levels.of(case.target)
    return Refuse(
        f"the sender's power {show(power)} is not more than the {show(target)} of "
        f"{named(case.target)}"
    )


_LEAVE: tuple[Rule, ...] = (
    leaves_itself,
    sender_is_in_the_room,
    may_unban,
    may_kick,
    has_too_little_power,
)
_BAN: tuple[Rule, ...] = (sender_is_in_the_room, may_ban, has_too_little_power)


def _overpowers(case: Case, action: str) -> Answer:
    if lacks_power(case, action, case.sender) is not None:
        return None
    if case.levels.of(case.target) < case.levels.of(case.sender):
        return Allow(f"{named(case.sender)} has the power to {action}")
    return None


def room_takes_knocks(case: Case) -> Answer:
    """If the join rule is not one to knock at, reject."""
    if case.join_rule is None:
        return Refuse("the state has no join rule that takes knocks")
    if case.join_rule not in case.rules.knockable:
        return Refuse(f"the join rule {quote(case.join_rule)} takes no knocks")
    return None


def knocks_for_itself(case: Case) -> Answer:
    """If the sender does not match the state key, reject."""
    if case.sender != case.target:
        return Refuse(f"{named(case.sender)} cannot knock for {named(case.target)}")
    return None


def may_knock(case: Case) -> Answer:
    """If the sender is not banned, invited or in the room, allow."""
    if case.membership(case.sender) not in {"ban", "invite", "join"}:
        return Allow(f"{named(case.sender)} knocks")
    return None


def cannot_knock(case: Case) -> Answer:
    """Otherwise, reject."""
    return Refuse(
        f"{named(case.sender)} cannot knock: its membership is "
        f"{case.membership(case.sender)}"
    )


_KNOCK: tuple[Rule, ...] = (
    room_takes_knocks,
    knocks_for_itself,
    may_knock,
    cannot_knock,
)


def membership_is_unknown(case: Case) -> Answer:
    """Otherwise, the membership is unknown. Reject."""
    return Refuse(f"unknown membership {quote(membership_of(case.event))}")
