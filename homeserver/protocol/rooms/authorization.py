"""The authorization rules of each room version, assembled and applied.

Rules: the rules stand in the order of the text. Each verdict names the deciding rule by
the number that the text gives it. The caller has verified the signatures.

The state-independent rules look at the event and the auth events that it cites. The
state-dependent rules judge the event by a state. On receipt an event is judged by three
states: the one that its auth events make, the one before it, and the current one.

Specification: Room Versions, "Authorisation rules"; Server-server API, "Authorization
rules".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.create_rules import (
    auth_event_rules,
    create_rules,
    room_id_names_create,
)
from homeserver.protocol.rooms.member_rules import member_rules
from homeserver.protocol.rooms.power_level_rules import power_level_rules
from homeserver.protocol.rooms.rules import (
    OTHERWISE_ALLOW,
    Case,
    CitedEvents,
    Decision,
    Group,
    Refuse,
    Rule,
    decide,
    is_type,
)
from homeserver.protocol.rooms.sender_rules import (
    ALIASES,
    REDACTION,
    THIRD_PARTY_INVITE,
    has_required_level,
    sender_is_in_the_room,
    sender_may_federate,
    state_key_is_its_own,
)
from homeserver.protocol.rooms.state import CREATE, StateKey, StateMap, state_of
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.protocol.rooms.versions import VersionRules, rules_of


@dataclass(frozen=True, slots=True)
class Allowed:
    """A verdict: the event is allowed."""

    rule: str
    """The number of the deciding rule in the text of the room version: `4.3.6`."""

    why: str
    switch: str = ""
    """The field of `Switches` that the verdict rests on; empty if on none."""


class NotAllowed(Forbidden):
    """An event is not allowed; `str()` of the error names the rule and the reason."""

    def __init__(self, rule: str, why: str, switch: str = "") -> None:
        """`rule` is the number in the text of the room version, as in `Allowed`."""
        super().__init__(f"rule {rule}: {why}")
        self.rule = rule
        self.why = why
        self.switch = switch


def check_state_independent(
    event: Event, cited: CitedEvents, switches: Switches = SWITCHES
) -> Allowed | None:
    """Apply the rules that look at an event and its auth events alone.

    Returns the rule that allows a create event, and None for any other event: the
    state-dependent rules decide on it. Raises `NotAllowed`.
    """
    independent, _ = _RULES[event.room_version.version]
    case = Case(event, {}, switches, cited)
    decision = decide(independent, case)
    return None if decision is None else _verdict(decision)


def check_state_dependent(
    event: Event, state: StateMap, switches: Switches = SWITCHES
) -> Allowed:
    """Apply the rules that judge an event by a state, and return the one that allows.

    Rule 1 alone decides on a create event. The state needs the keys of `auth_keys`, and
    in version 12 the create event as well. Raises `NotAllowed`.
    """
    independent, dependent = _RULES[event.room_version.version]
    case = Case(event, state, switches)
    if event.type == "m.room.create":
        decision = decide(independent[:1], case)
    else:
        decision = decide(dependent, case, len(independent) + 1)
    # The last rule of either list always answers.
    return _verdict(cast(Decision, decision))


def check_by_auth_events(
    event: Event, cited: CitedEvents, switches: Switches = SWITCHES
) -> Allowed:
    """Apply all rules, by the state that the event's own auth events make.

    This is the fourth check on receipt. Raises `NotAllowed`.
    """
    allowed = check_state_independent(event, cited, switches)
    return allowed or check_state_dependent(event, cited_state(cited), switches)


def cited_state(cited: CitedEvents) -> dict[StateKey, Event]:
    """The state that auth events make, with the create event of the room ID."""
    implied = {} if cited.create is None else {CREATE: cited.create}
    return implied | state_of(cited.events)


def _verdict(decision: Decision) -> Allowed:
    number, answer = decision
    rule = ".".join(map(str, number))
    if isinstance(answer, Refuse):
        raise NotAllowed(rule, answer.why, answer.switch)
    return Allowed(rule, answer.why, answer.switch)


def _independent(rules: VersionRules) -> tuple[Rule, ...]:
    room_id: tuple[Rule, ...] = (
        (room_id_names_create,) if rules.has_privileged_creators else ()
    )
    return (
        Group(is_type("m.room.create"), create_rules(rules)),
        *room_id,
        Group(lambda _: True, auth_event_rules(rules)),
    )


def _dependent(rules: VersionRules) -> tuple[Rule, ...]:
    aliases: tuple[Rule, ...] = (
        (Group(is_type("m.room.aliases"), ALIASES),) if rules.has_aliases_rule else ()
    )
    redaction: tuple[Rule, ...] = (
        (Group(is_type("m.room.redaction"), REDACTION),)
        if rules.has_redaction_rule
        else ()
    )
    return (
        sender_may_federate,
        *aliases,
        Group(is_type("m.room.member"), member_rules(rules)),
        sender_is_in_the_room,
        Group(is_type("m.room.third_party_invite"), THIRD_PARTY_INVITE),
        has_required_level,
        state_key_is_its_own,
        Group(is_type("m.room.power_levels"), power_level_rules(rules)),
        *redaction,
        OTHERWISE_ALLOW,
    )


_RULES: Mapping[str, tuple[Sequence[Rule], Sequence[Rule]]] = {
    name: (_independent(rules_of(version)), _dependent(rules_of(version)))
    for name, version in ROOM_VERSIONS.items()
}
"""The rules of each room version, state-independent and state-dependent ones."""
