"""How much of a queue goes into one transaction.

Rules: as many entries as keep the limits of PDUs, EDUs and bytes, and at least one.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.transactions import MAX_EDUS, MAX_PDUS, Size, batch_size
from tests.support.tables import cases

ONE_PDU = Size(1, 0, 1000)
ONE_EDU = Size(0, 1, 1000)
LARGEST = 13_107_200 - 1024  # the envelope takes the rest

QUEUES: list[tuple[str, list[Size], int]] = [
    ("nothing", [], 0),
    ("one", [ONE_PDU], 1),
    ("two", [ONE_PDU, ONE_EDU], 2),
    ("50 PDUs", [ONE_PDU] * 50, 50),
    ("51 PDUs", [ONE_PDU] * 51, 50),
    ("100 EDUs", [ONE_EDU] * 100, 100),
    ("101 EDUs", [ONE_EDU] * 101, 100),
    ("50 PDUs and 101 EDUs", [ONE_PDU] * 50 + [ONE_EDU] * 101, 150),
    ("51 PDUs in three entries", [Size(25, 0, 1), Size(25, 0, 1), ONE_PDU], 2),
    ("101 EDUs in two entries", [Size(0, 100, 1), ONE_EDU], 1),
    ("the most bytes", [Size(1, 0, LARGEST - 1), Size(1, 0, 1)], 2),
    ("a byte too many", [Size(1, 0, LARGEST - 1), Size(1, 0, 2)], 1),
    ("an entry of the most bytes", [Size(1, 0, LARGEST), Size(0, 0, 0)], 2),
    ("an entry with too many bytes", [Size(1, 0, LARGEST + 1), Size(0, 0, 0)], 1),
    ("an entry with too many PDUs", [Size(51, 0, 1), Size(0, 1, 1)], 1),
    ("an entry with too many EDUs", [Size(0, 101, 1), Size(1, 0, 1)], 1),
    ("one too large in between", [ONE_PDU, Size(51, 0, 1), ONE_PDU], 1),
]


@cases("queue expected", QUEUES)
def test_batch_size(queue: list[Size], expected: int) -> None:
    """As many entries as keep the limits go together, and at least one."""
    assert batch_size(queue) == expected


sizes = st.builds(
    Size, st.integers(0, MAX_PDUS), st.integers(0, MAX_EDUS), st.integers(0, LARGEST)
)


@given(queue=st.lists(sizes, min_size=1))
@settings(deadline=None)
def test_a_batch_keeps_the_limits_and_takes_all_that_it_can(queue: list[Size]) -> None:
    """A batch keeps the limits, and would not with the next entry."""

    def fits(count: int) -> bool:
        return (
            sum(size.pdus for size in queue[:count]) <= MAX_PDUS
            and sum(size.edus for size in queue[:count]) <= MAX_EDUS
            and sum(size.length for size in queue[:count]) <= LARGEST
        )

    count = batch_size(queue)
    assert count >= 1
    assert fits(count)
    assert count == len(queue) or not fits(count + 1)
