"""What is remarked of how a server repeats its transactions."""

import pytest

from homeserver.protocol.diagnosis.retries import (
    PATIENCE_MS,
    Attempt,
    remarks_on_retries,
    unrepeated,
)
from homeserver.protocol.remarks import REMARKS

A, B = "aa", "bb"


def attempts(*rows: tuple[int, str, int, str | None]) -> list[Attempt]:
    """Attempts of (milliseconds, ID, status, content)."""
    return [Attempt(*row) for row in rows]


CASES: list[tuple[list[Attempt], list[str]]] = [
    (attempts((0, "1", 200, A), (1, "2", 400, None)), []),
    (attempts((0, "1", 503, A), (2000, "1", 503, A), (6000, "1", 200, A)), []),
    (attempts((0, "1", 429, A), (1000, "1", 200, None)), []),
    (attempts((0, "1", 503, A)), []),
    (attempts((-PATIENCE_MS, "1", 503, A)), ["no_retry"]),
    (attempts((0, "1", 503, A), (9, "2", 200, A)), ["retry_other_id"]),
    (attempts((0, "1", 503, None), (9, "2", 200, None)), []),
    (attempts((0, "1", 503, A), (900, "1", 200, B)), ["retry_other_content"]),
    (attempts((0, "1", 503, A), (499, "1", 200, A)), ["retry_without_pause"]),
    (attempts((0, "1", 503, A), (500, "1", 200, A)), []),
    (
        attempts(*[(n * 1000, "1", 503, A) for n in range(4)], (4000, "1", 200, A)),
        ["retry_without_back_off"],
    ),
]


@pytest.mark.parametrize(("given", "codes"), CASES)
def test_retries(given: list[Attempt], codes: list[str]) -> None:
    """Each mistake has its code, and a right server none."""
    found = [each.code for each in remarks_on_retries(given, 0)]
    assert found == codes
    assert set(found) <= REMARKS.keys()


def test_unrepeated() -> None:
    """What failed for now and came no more, with its last attempt."""
    failed = attempts((0, "1", 503, A), (1, "2", 500, A), (2, "3", 429, B))
    others = attempts((3, "1", 200, A), (4, "4", 400, B), (5, "3", 503, B))
    assert unrepeated([*failed, *others]) == [failed[1], others[2]]
