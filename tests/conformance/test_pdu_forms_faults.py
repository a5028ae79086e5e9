"""P: each check of the form of an event has a fault that turns it red."""

from collections.abc import Callable

from homeserver.conformance.fates import STRICT
from homeserver.protocol.canonical_json import Json, check_numbers
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event_form import _check_texts
from tests.conformance.faulty import Row, patched
from tests.conformance.pdu_target import allows, of, pdu_fault_test, receives
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_EVENT = "homeserver.protocol.events.event."

_FORM = "homeserver.protocol.events.event_form."


def _breaks(is_meant: Callable[[Json], bool]) -> Fault:
    def look(pdus: list[Json]) -> None:
        if any(map(is_meant, pdus)):
            raise PlantedError("broken")

    return receives(look)


def _integers_of_any_size(value: object) -> None:
    try:
        check_numbers(value)
    except ProtocolError as problem:
        if "2^53" not in str(problem):
            raise


def _floats(value: object) -> None:
    try:
        check_numbers(value)
    except ProtocolError as problem:
        if "2^53" in str(problem):
            raise


def _without_length_of(member: str) -> Callable[[Json], None]:
    return lambda pdu: _check_texts({k: v for k, v in pdu.items() if k != member})


ROWS: list[Row] = [
    (
        "floats",
        patched({f"{_EVENT}check_numbers": _floats}),
        of("P08", versions=STRICT),
    ),
    (
        "large integers",
        patched({f"{_EVENT}check_numbers": _integers_of_any_size}),
        of("P09", versions=STRICT),
    ),
    ("any size", patched({f"{_EVENT}MAX_EVENT_BYTES": 10**6}), of("P10")),
    ("64,999 bytes", patched({f"{_EVENT}MAX_EVENT_BYTES": 64_999}), of("P11")),
    ("21 previous events", patched({f"{_FORM}MAX_PREV_EVENTS": 21}), of("P12")),
    (
        "11 auth events",
        patched(
            {
                f"{_FORM}MAX_AUTH_EVENTS": 11,
                **allows(lambda event, _: len(event.auth_event_ids) > 10),
            }
        ),
        of("P13"),
    ),
    (
        "any type",
        patched({f"{_FORM}_check_texts": _without_length_of("type")}),
        of("P14"),
    ),
    (
        "any state key",
        patched(
            {
                f"{_FORM}_check_texts": _without_length_of("state_key"),
                **allows(lambda event, _: len(event.state_key or "") > 255),
            }
        ),
        of("P15"),
    ),
    ("breaks on a content", _breaks(lambda p: p["content"] == "text"), of("P28")),
    ("breaks on a list", _breaks(lambda p: p["prev_events"] == "text"), of("P29")),
    ("breaks on a depth", _breaks(lambda p: p["depth"] == "5"), of("P30")),
    ("breaks without sender", _breaks(lambda p: "sender" not in p), of("P31")),
]

test_a_fault_turns_its_checks_red = pdu_fault_test(ROWS)
