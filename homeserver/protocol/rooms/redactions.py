"""Redactions: the ones that a room applies, and the redacted event.

Rules: the authorization rules allow a redaction as any other event. Whether it is
applied is decided when the redaction and its target are both known and accepted. A
redaction never applies to an event of another room. A redacted event of the state goes
on to authorise by its original content, as in Synapse.

Specification: Room Versions, "Handling redactions" (3 and later), "Redactions".
"""

from enum import Enum

from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.rooms.power_levels import PowerLevels, UnreadableLevel
from homeserver.protocol.rooms.state import CREATE, POWER_LEVELS, StateMap
from homeserver.protocol.rooms.versions import rules_of


class Ground(Enum):
    """Why a redaction is applied."""

    POWER = "its sender has the power to redact"
    SAME_SERVER = "both events are of one server"
    ALLOWED = "the authorization rules of versions 1 and 2 allowed it"


def ground_of(redaction: Event, target: Event, state: StateMap) -> Ground | None:
    """Why a redaction is applied to its target; None if it is not.

    `state` is the state before the redaction. Both events were accepted.
    """
    if not _names(redaction, target):
        return None
    rules = rules_of(redaction.room_version)
    if rules.has_redaction_rule:
        return Ground.ALLOWED
    levels = PowerLevels(state.get(POWER_LEVELS), state.get(CREATE), rules)
    if _has_power(levels, redaction.sender.user_id):
        return Ground.POWER
    if redaction.sender.server_name == target.sender.server_name:
        return Ground.SAME_SERVER
    return None


def redacted(target: Event) -> Event:
    """The redacted event; its ID and its signatures stay valid."""
    return Event.parse(redact(target.pdu, target.room_version), target.room_version)


def _names(redaction: Event, target: Event) -> bool:
    return (
        redaction.type == "m.room.redaction"
        and redaction.redacts == target.event_id
        and redaction.room_id == target.room_id
    )


def _has_power(levels: PowerLevels, user_id: str) -> bool:
    try:
        return levels.of(user_id) >= levels.to("redact")
    except UnreadableLevel:
        return False
