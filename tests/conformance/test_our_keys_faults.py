"""M: each check has a fault that turns it red."""

import pytest

from tests.conformance.faulty import Row, answers_with, red
from tests.support.conformance_stage import Fault, Stage

ROWS: list[Row] = [
    (
        "no transaction is taken",
        answers_with("/_matrix/federation/v1/send", 401),
        {"M01"},
    ),
]


@pytest.mark.parametrize(("name", "fault", "expected"), ROWS)
def test_a_fault_turns_its_checks_red(
    on_stage: Stage, name: str, fault: Fault, expected: set[str]
) -> None:
    """It turns them red, and no others of this area."""
    assert red(on_stage, fault, ["M"]) == expected
