"""What clients may have us spend, and what is not counted."""

from collections.abc import Iterable

import pytest
from twisted.internet.task import Clock

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.transport.budget import Allowance, Budgets, OverBudget

CLIENT = "192.0.2.1"


class Spending:
    """Budgets, and what is taken from them."""

    def __init__(self, *trusted: str) -> None:
        self.clock = Clock()
        self.budgets = Budgets(self.clock, trusted.__contains__)

    def step(self, client: str = CLIENT, host: str = "a.test") -> Allowance:
        """The allowance of one step."""
        return self.budgets.step(Cause(client), host)

    def can_connect(
        self, client: str = CLIENT, host: str = "a.test", to: str = "198.51.100.1"
    ) -> bool:
        """Whether one more connection is made."""
        try:
            self.step(client, host).take(to)
        except OverBudget:
            return False
        return True

    def connect(self, times: int, client: str = CLIENT, to: str | None = None) -> int:
        """Connect so often, for another name each time; how often that succeeded.

        Without `to`, each connection leads to another network.
        """
        return sum(
            self.can_connect(client, f"n{n}.test", to or f"8.{n // 250}.{n % 250}.1")
            for n in range(times)
        )

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Use and refusals of each bound."""
        return {b.name: (b.use(), b.refusals) for b in self.budgets.bounds}


def taken(allowance: Allowance, addresses: Iterable[str]) -> list[str]:
    """Those of the addresses that are connected to within an allowance."""
    done = []
    for each in addresses:
        if allowance.is_spent:
            break
        allowance.take(each)
        done.append(each)
    return done


ADDRESSES = [f"198.51.100.{number}" for number in range(50)]


@pytest.mark.parametrize("cause", [OURSELVES, Cause("127.0.0.1")])
def test_without_a_budget(cause: Cause) -> None:
    """What we want, or a trusted client causes, is not counted at all."""
    spending = Spending("127.0.0.1")
    for _ in range(50):
        allowance = spending.budgets.step(cause, "a.test")
        assert allowance.choose(ADDRESSES) == ADDRESSES
        assert taken(allowance, ADDRESSES) == ADDRESSES
        assert allowance.may_send(10**9)
    assert set(spending.bounds().values()) == {(0, 0)}


def test_step() -> None:
    """A step takes two connections at most."""
    allowance = Spending().step()
    assert allowance.choose(ADDRESSES) == ADDRESSES[:2]
    assert taken(allowance, ADDRESSES) == ADDRESSES[:2]
    assert allowance.choose(ADDRESSES) == []


def test_name() -> None:
    """A name takes ten connections in a minute, for all clients, in any letters."""
    spending = Spending()
    for number in range(10):
        assert spending.can_connect(f"192.0.2.{number}")
    assert not spending.can_connect()
    assert not spending.can_connect("192.0.2.99", "A.TEST")
    assert spending.can_connect(host="b.test")
    assert spending.bounds()["connections_by_name"] == (10, 2)
    spending.clock.advance(59.9)
    assert not spending.can_connect()
    spending.clock.advance(0.1)
    assert spending.bounds()["connections_by_name"] == (0, 3)
    assert spending.can_connect()
    assert spending.bounds()["connections_by_name"] == (1, 3)


def test_bytes_of_a_name() -> None:
    """A name takes twenty kilobytes in a minute, until its server is verified."""
    spending = Spending()
    first, second = spending.step(), spending.step("192.0.2.2", "A.test")
    assert first.may_send(19_000)
    assert second.may_send(1000)
    assert not second.may_send(1)
    assert not first.may_send(1)
    first.end()
    assert first.may_send(10**9)
    assert not second.may_send(1)
    assert spending.step(host="b.test").may_send(20_000)
    spending.clock.advance(60)
    assert second.may_send(20_000)


SAME_CLIENT = [
    (CLIENT, CLIENT),
    ("::ffff:192.0.2.1", CLIENT),
    ("2a00:1:2:3::1", "2a00:1:2:3:ffff::2"),
    ("fe80::1%eth0", "fe80::2%eth1"),
]


@pytest.mark.parametrize(("client", "again"), SAME_CLIENT)
def test_client(client: str, again: str) -> None:
    """A client causes six hundred connections at once, and ten a second after that."""
    spending = Spending()
    assert spending.connect(700, client) == 600
    assert not spending.can_connect(again, "x.test")
    assert spending.can_connect("203.0.113.1", "x.test")
    assert spending.bounds()["connections_by_client"] == (600, 101)
    spending.clock.advance(1)
    assert spending.connect(700, again) == 10


def test_other_client() -> None:
    """Of IPv6, another /64 is another client."""
    spending = Spending()
    spending.connect(600, "2a00:1:2:3::1")
    assert not spending.can_connect("2a00:1:2:3::2", "x.test")
    assert spending.can_connect("2a00:1:2:4::1", "x.test")


@pytest.mark.parametrize(
    ("target", "same", "other"),
    [
        ("198.51.100.1", "198.51.100.255", "198.51.101.1"),
        ("198.51.100.1", "::ffff:198.51.100.2", "198.51.101.1"),
        ("2a00:1:2:3::1", "2a00:1:2:3:ffff::1", "2a00:1:2:4::1"),
    ],
)
def test_target(target: str, same: str, other: str) -> None:
    """A network is connected to three hundred times at once, and five a second then."""
    spending = Spending()
    assert spending.connect(400, to=target) == 300
    assert not spending.can_connect(to=same)
    assert spending.can_connect(to=other)
    assert spending.bounds()["connections_by_target"] == (300, 101)
    spending.clock.advance(1)
    assert spending.connect(400, to=same) == 5


def test_target_of_those_who_ask_rarely() -> None:
    """A client that caused few connections has a budget that others have not used."""
    spending = Spending()
    spending.connect(400, to="198.51.100.1")
    assert spending.connect(400, "192.0.2.2", "198.51.100.1") == 10
    reached = [
        spending.can_connect(f"192.0.3.{n % 250}", f"x{n}.test", "198.51.100.1")
        for n in range(1000)
    ]
    assert sum(reached) == 290


def test_own_network_of_a_client() -> None:
    """Connections to the own network of a client are no third party's."""
    spending = Spending()
    assert spending.connect(400, "198.51.100.7", "198.51.100.1") == 400
    assert spending.bounds()["connections_by_target"] == (0, 0)


def test_what_is_refused_costs_nothing() -> None:
    """A connection that one bound forbids is not counted by the others."""
    spending = Spending()
    spending.connect(400, to="198.51.100.1")
    assert spending.bounds()["connections_by_client"] == (300, 0)
    for _ in range(20):
        spending.can_connect(host="one.test", to="203.0.113.1")
    assert spending.bounds()["connections_by_client"] == (310, 0)
    assert spending.can_connect("192.0.2.2", "two.test", "203.0.113.1")
    spending.connect(290, to="203.0.113.1")
    assert spending.bounds()["connections_by_target"] == (300, 101)


def test_steps() -> None:
    """A client causes twice as many steps, and few after that, connected or not."""
    spending = Spending()
    for number in range(1200):
        spending.step(host=f"n{number}.test")
    with pytest.raises(OverBudget, match=r"too many servers are looked for for 192"):
        spending.step(host="x.test")
    assert spending.bounds()["steps_by_client"] == (1200, 1)
    spending.step("192.0.2.2", "x.test")
    spending.clock.advance(1)
    for number in range(10):
        spending.step(host=f"m{number}.test")
    with pytest.raises(OverBudget):
        spending.step(host="x.test")


def test_clock_set_back() -> None:
    """Where the clock is set back, what is left stays, and nothing comes back."""
    spending = Spending()
    spending.clock.advance(100)
    spending.connect(500)
    spending.clock.rightNow -= 50
    assert spending.connect(200) == 100


def test_memory() -> None:
    """Ten thousand names, clients and networks are remembered, the last ones."""
    spending = Spending()
    for number in range(10_050):
        high, low = divmod(number, 256)
        spending.can_connect(
            f"10.1.{high}.{low}", f"n{number}.test", f"8.{high}.{low}.1"
        )
    budgets = spending.budgets
    assert len(budgets._names) == 10_000
    assert len(budgets._clients._levels) == len(budgets._targets._levels) == 10_000
    assert "n10049.test" in budgets._names


def test_one_of_several_workers() -> None:
    """Each has its part for a client and a network, and all that one name needs."""
    clock = Clock()
    budgets = Budgets(clock, [].__contains__, workers=3)
    limits = {each.name: each.limit for each in budgets.bounds}
    assert limits == {
        "connections_by_name": 10,
        "connections_by_client": 200,
        "steps_by_client": 400,
        "connections_by_target": 100,
    }
