"""Q25 has a fault that turns it red."""

from typing import Any

from tests.conformance.faulty import Row, changed_json, fault_test

_ROUTE = "/_matrix/federation/v1/hierarchy"


def _without_children(content: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != "inaccessible_children"}


ROWS: list[Row] = [
    ("no list of closed rooms", changed_json(_ROUTE, _without_children), {"Q25"}),
    (
        "another room",
        changed_json(_ROUTE, lambda found: {**found, "room": {"room_id": "!other"}}),
        {"Q25"},
    ),
]

test_a_fault_turns_its_check_red = fault_test(ROWS, ["Q24", "Q25"])
