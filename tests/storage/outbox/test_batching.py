"""How many entries a transaction takes, by their number and by their bytes."""

from collections.abc import Sequence

import pytest

from homeserver.protocol.canonical_json import Json, as_list, parse_object
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from tests.support.endpoint_store import A, Endpoint, numbered
from tests.support.tables import cases

# (name, PDUs and EDUs of each entry, how many entries each transaction takes)
SIZES: list[tuple[str, Sequence[tuple[int, int]], list[int]]] = [
    ("one", [(1, 1)], [1]),
    ("several", [(1, 1), (2, 0), (0, 3)], [3]),
    ("50 PDUs in one", [(50, 0)], [1]),
    ("50 PDUs in two", [(20, 0), (30, 0)], [2]),
    ("51 PDUs in two", [(20, 0), (31, 0)], [1, 1]),
    ("51 PDUs one by one", [(1, 0)] * 51, [50, 1]),
    ("100 EDUs in two", [(0, 60), (0, 40)], [2]),
    ("101 EDUs in two", [(0, 60), (0, 41)], [1, 1]),
    ("101 EDUs one by one", [(0, 1)] * 101, [100, 1]),
    ("50 PDUs and 100 EDUs one by one", [(1, 0)] * 50 + [(0, 1)] * 101, [150, 1]),
    ("what fits does not overtake", [(30, 0), (30, 0), (1, 0)], [1, 2]),
    ("two full ones", [(50, 100), (50, 100)], [1, 1]),
    ("of nothing", [(0, 0)] * 151, [150, 1]),
]


def drain(own: Endpoint) -> list[Json]:
    """The bodies of all transactions that are owed, each delivered."""
    bodies = []
    while claimed := own.lease():
        for pending in claimed:
            bodies.append(parse_object(pending.body))
            own.deliver(pending)
    return bodies


@cases("entries expected", SIZES)
def test_limits_of_a_transaction(
    own: Endpoint, entries: Sequence[tuple[int, int]], expected: list[int]
) -> None:
    """A transaction takes whole entries, in order, as many as its limits allow."""
    for number, (pdus, edus) in enumerate(entries):
        item = numbered(number)
        own.add_entry(A, [item] * pdus, [item] * edus)
    bodies = drain(own)
    left = list(enumerate(entries))
    for body, count in zip(bodies, expected, strict=True):
        taken, left = left[:count], left[count:]
        assert body["pdus"] == [numbered(n) for n, (p, _) in taken for _ in range(p)]
        assert body["edus"] == [numbered(n) for n, (_, e) in taken for _ in range(e)]
    assert left == []


@pytest.mark.parametrize("character", ["a", "€"])
def test_bytes_of_a_transaction(own: Endpoint, character: str) -> None:
    """A transaction is no longer than receivers take, in bytes as they are sent."""
    third = MAX_TRANSACTION_BYTES // 3 // len(character.encode())
    for _ in range(4):
        own.add_entry(A, [], [{"text": character * third}])
    assert [len(as_list(body["edus"], "EDUs")) for body in drain(own)] == [2, 2]


def test_what_does_not_fit_is_not_read(own: Endpoint) -> None:
    """Of a queue of large entries, no more is read than can be sent."""
    large: Json = {"text": "x" * (MAX_TRANSACTION_BYTES * 2 // 3)}
    own.add_entry(A, [], [large])
    second = own.add_entry(A, [], [large])
    own.rows(
        f"UPDATE outbound_entries SET edus = '{{' WHERE id = {second} RETURNING id"
    )
    assert len(own.lease()) == 1
