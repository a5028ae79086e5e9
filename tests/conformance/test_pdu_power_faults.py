"""P: each check of bans and redactions has a fault that turns it red."""

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from homeserver.protocol.rooms.redactions import Ground, ground_of
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.state_resolution import _is_power_event
from tests.conformance.faulty import Row, fault_test, patched

_CHECKS = ["P43.v10", "P43c", "P44", "P44b"]


def _bans_are_no_power(graph: AuthGraph, event_id: EventId) -> bool:
    is_member = graph.events[event_id].type == "m.room.member"
    return not is_member and _is_power_event(graph, event_id)


def _applies_all(redaction: Event, target: Event, state: StateMap) -> Ground | None:
    return Ground.ALLOWED if redaction.redacts == target.event_id else None


def _heeds_no_power(redaction: Event, target: Event, state: StateMap) -> Ground | None:
    ground = ground_of(redaction, target, state)
    return None if ground is Ground.POWER else ground


_GROUND = "homeserver.rooms.turn.ground_of"

ROWS: list[Row] = [
    (
        "a ban is resolved by its time",
        patched(
            {
                "homeserver.protocol.rooms.state_resolution._is_power_event": (
                    _bans_are_no_power
                )
            }
        ),
        {"P43c"},
    ),
    ("all redactions are applied", patched({_GROUND: _applies_all}), {"P44"}),
    ("no power to redact", patched({_GROUND: _heeds_no_power}), {"P44b"}),
]


test_a_fault_turns_its_checks_red = fault_test(ROWS, _CHECKS)
