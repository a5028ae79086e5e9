"""Q25 has a fault that turns it red."""

from typing import Any

import pytest

from tests.conformance.faulty import Row, changed_json, red
from tests.support.conformance_stage import Fault, Stage

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


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_it_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """No other check of hierarchies is red."""
    assert red(on_stage, fault, ["Q24", "Q25"]) == expected
