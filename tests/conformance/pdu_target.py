"""A target that is wrong about the events of a room, and the checks that it meets.

Rules: a fault meets what it turns red, and beside that the checks of room version 10
that are in the same modules.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from homeserver.conformance.checks import (
    pdu_authorization,
    pdu_forms,
    pdu_gaps,
    pdu_resolution,
    pdu_signatures,
    pdu_transactions,
)
from homeserver.conformance.fates import VERSIONS
from homeserver.conformance.registry import checks_in
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.authorization import (
    Allowed,
    NotAllowed,
    check_by_auth_events,
    check_state_dependent,
)
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.rooms.receiving import RoomReceiver
from homeserver.storage.judged_pdus import JudgedPdu
from tests.conformance.faulty import Row, check_row, patched
from tests.support.conformance_stage import Fault, Stage

_check = RoomReceiver.check

_RECEIPT = "homeserver.protocol.rooms.receipt."


def of(*numbers: str, versions: tuple[str, ...] = VERSIONS) -> set[str]:
    """The IDs of checks, of each version."""
    return {f"{number}.v{version}" for number in numbers for version in versions}


Meant = Callable[[Event, NotAllowed], bool]
"""Whether a fault overlooks that an event is not allowed."""


def allows(is_meant: Meant) -> dict[str, object]:
    """Replacements that allow some events."""

    def overlook(event: Event, check: Callable[[], Allowed]) -> Allowed:
        try:
            return check()
        except NotAllowed as problem:
            if is_meant(event, problem):
                return Allowed("0", "overlooked")
            raise

    def by_auth_events(
        event: Event, cited: CitedEvents, switches: Switches = SWITCHES
    ) -> Allowed:
        return overlook(event, lambda: check_by_auth_events(event, cited, switches))

    def by_state(
        event: Event, state: StateMap, switches: Switches = SWITCHES
    ) -> Allowed:
        return overlook(event, lambda: check_state_dependent(event, state, switches))

    return {
        f"{_RECEIPT}check_by_auth_events": by_auth_events,
        f"{_RECEIPT}check_state_dependent": by_state,
    }


def receives(look: Callable[[list[Json]], object]) -> Fault:
    """A look at the PDUs of each transaction, before it is gone through."""

    async def check(receiver: RoomReceiver, pdus: Any, *more: Any) -> list[JudgedPdu]:
        look(list(pdus))
        return await _check(receiver, pdus, *more)

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


_MODULES = (
    pdu_authorization,
    pdu_forms,
    pdu_gaps,
    pdu_resolution,
    pdu_signatures,
    pdu_transactions,
)


def _only(expected: set[str]) -> list[str]:
    """The checks that a fault meets."""
    found = set(expected)
    for module in _MODULES:
        ids = {each.id for each in checks_in(vars(module).values())}
        if ids & expected:
            found |= {each for each in ids if each.endswith(".v10")}
    return sorted(found)


def pdu_fault_test(
    rows: Sequence[Row],
) -> Callable[[Stage, str, Fault, set[str]], None]:
    """The test of a module's rows, each among the checks that it meets."""

    @pytest.mark.parametrize(("name", "fault", "expected"), rows)
    def test(on_stage: Stage, name: str, fault: Fault, expected: set[str]) -> None:
        """It turns its checks red, and no others that it meets."""
        check_row(on_stage, fault, expected, _only(expected))

    return test
