"""In which order the SRV targets of a server are tried (RFC 2782).

Rules: priorities are never mixed; among equals chance decides, by their weights.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.discovery import SrvRecord, order
from tests.support.discovery_zones import FED, Zone, least, resolved


def most(total: int) -> int:
    """Draw the greatest number that can be drawn."""
    return total


@pytest.mark.parametrize(
    ("draw", "targets"), [(least, ["x.net", "y.net"]), (most, ["y.net", "x.net"])]
)
def test_chance_decides_among_equals(
    draw: Callable[[int], int], targets: list[str]
) -> None:
    """Routes by records of the same priority come in the order that is drawn."""
    equals = [SrvRecord(1, 1, 1, "x.net"), SrvRecord(1, 1, 1, "y.net")]
    resolution = resolved("a.org", Zone({FED: equals}), draw=draw)
    assert [route.host for route in resolution.routes] == targets


A = SrvRecord(10, 10, 1, "a")
B = SrvRecord(10, 30, 1, "b")
C = SrvRecord(10, 60, 1, "c")
ONE = SrvRecord(10, 1, 1, "i")
ZERO = SrvRecord(10, 0, 1, "z")
ZERO_2 = SrvRecord(10, 0, 1, "y")
LAST = SrvRecord(11, 100, 1, "l")

# The records, the numbers drawn and the totals that they are drawn of, the order.
DRAWS: list[tuple[list[SrvRecord], list[tuple[int, int]], str]] = [
    ([], [], ""),
    ([A], [(0, 10)], "a"),
    ([A], [(10, 10)], "a"),
    ([A, B, C], [(0, 100), (0, 90), (0, 60)], "abc"),
    ([A, B, C], [(10, 100), (30, 90), (60, 60)], "abc"),
    ([A, B, C], [(11, 100), (10, 70), (0, 60)], "bac"),
    ([A, B, C], [(40, 100), (11, 70), (10, 10)], "bca"),
    ([A, B, C], [(41, 100), (11, 40), (1, 10)], "cba"),
    ([A, B, C], [(100, 100), (40, 40), (10, 10)], "cba"),
    ([C, A], [(60, 70), (0, 10)], "ca"),
    ([A, ZERO], [(0, 10), (0, 10)], "za"),
    ([A, ZERO], [(1, 10), (0, 0)], "az"),
    ([ONE, ZERO], [(0, 1), (0, 1)], "zi"),
    ([A, ZERO, B], [(0, 40), (11, 40), (0, 10)], "zba"),
    ([ZERO, ZERO_2], [(0, 1), (0, 0), (0, 0)], "zy"),
    ([ZERO, ZERO_2], [(1, 1), (0, 0), (0, 0)], "yz"),
    ([LAST, A], [(0, 10), (100, 100)], "al"),
    ([LAST, A, ZERO], [(10, 10), (0, 0), (0, 100)], "azl"),
    ([A, A], [(20, 20), (0, 10)], "aa"),
]


@pytest.mark.parametrize(("records", "draws", "expected"), DRAWS)
def test_order(
    records: list[SrvRecord], draws: list[tuple[int, int]], expected: str
) -> None:
    """The record whose running sum reaches the number drawn comes next."""
    left = iter(draws)

    def draw(total: int) -> int:
        number, expected_total = next(left)
        assert total == expected_total
        return number

    assert "".join(record.target for record in order(records, draw)) == expected
    assert list(left) == []


def first_of(records: Sequence[SrvRecord]) -> Mapping[str, float]:
    """How often each target comes first, of 10,000 orders."""
    chance = random.Random(2782)
    firsts = Counter(
        order(records, lambda total: chance.randint(0, total))[0].target
        for _ in range(10_000)
    )
    return {target: count / 10_000 for target, count in firsts.items()}


# Weights by target, of one priority.
WEIGHTS: list[Mapping[str, int]] = [
    {"a": 10, "b": 30, "c": 60},
    {"c": 60, "b": 30, "a": 10},
    {"a": 100, "b": 100},
    {"a": 1000, "b": 2000, "c": 3000, "d": 4000},
    {"a": 65535, "b": 65535, "c": 65535},
    {"a": 9900, "b": 100, "c": 0},
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_first_targets_are_in_proportion_to_their_weights(
    weights: Mapping[str, int],
) -> None:
    """Of 10,000 orders, a target comes first as often as its weight says, or nearly."""
    records = [SrvRecord(10, weight, 1, target) for target, weight in weights.items()]
    proportions = {**dict.fromkeys(weights, 0.0), **first_of([*records, LAST])}
    total = sum(weights.values())
    assert proportions == pytest.approx(
        {target: weight / total for target, weight in weights.items()}, abs=0.03
    )


def test_second_targets_are_in_proportion_to_the_weights_that_are_left() -> None:
    """Whichever comes first, the others are drawn by their own weights."""
    chance = random.Random(2782)
    seconds = Counter(
        orders[1].target
        for _ in range(10_000)
        if (orders := order([A, B, C], lambda total: chance.randint(0, total)))[0] == C
    )
    drawn = sum(seconds.values())
    assert {target: count / drawn for target, count in seconds.items()} == (
        pytest.approx({"a": 10 / 40, "b": 30 / 40}, abs=0.03)
    )


@pytest.mark.parametrize("others", [[], [A, B]], ids=["alone", "beside others"])
def test_targets_of_weight_0_come_in_any_order(others: list[SrvRecord]) -> None:
    """Of targets of weight 0, each order is as likely as any other."""
    zeros = [SrvRecord(10, 0, 1, target) for target in "xyz"]
    chance = random.Random(2782)
    orders = Counter(
        "".join(
            record.target
            for record in order([*zeros, *others], lambda most: chance.randint(0, most))
            if record.weight == 0
        )
        for _ in range(10_000)
    )
    assert {each: count / 10_000 for each, count in orders.items()} == pytest.approx(
        dict.fromkeys(["xyz", "xzy", "yxz", "yzx", "zxy", "zyx"], 1 / 6), abs=0.02
    )


def test_a_target_of_weight_0_seldom_comes_first() -> None:
    """A target of weight 0 has a small chance beside others: RFC 2782's one in N+1."""
    proportions = first_of([C, ZERO, B, A])
    assert proportions["z"] == pytest.approx(1 / 101, abs=0.005)


records_of_few_priorities = st.lists(
    st.builds(
        SrvRecord,
        st.integers(0, 3),
        st.integers(0, 3) | st.integers(0, 65535),
        st.integers(1, 65535),
        st.sampled_from("abcdef"),
    )
)


@given(records=records_of_few_priorities, chance=st.randoms())
@settings(deadline=None)
def test_priorities_are_never_mixed(
    records: list[SrvRecord], chance: random.Random
) -> None:
    """Every record is tried once, and those of a lower priority number first."""
    ordered = order(records, lambda total: chance.randint(0, total))
    assert Counter(ordered) == Counter(records)
    priorities = [record.priority for record in ordered]
    assert priorities == sorted(priorities)
