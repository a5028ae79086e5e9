"""What a client may ask for at once and in the long run, and who counts as one."""

import pytest
from twisted.internet.task import Clock

from homeserver.http import rate_limit
from homeserver.http.rate_limit import TokenBuckets
from homeserver.protocol.errors import LimitExceeded

US, THEM = "192.0.2.1", "192.0.2.2"


class Buckets:
    """Buckets of ten tokens that get two a second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._buckets = TokenBuckets(10, 2.0, self.clock)

    def wait_for(self, tokens: int, address: str = US) -> int:
        """Take tokens; 0 if they were there, else in how many seconds they may be."""
        try:
            self._buckets.take(address, tokens)
        except LimitExceeded as problem:
            assert problem.retry_after > 0
            return problem.retry_after
        return 0


@pytest.fixture
def buckets() -> Buckets:
    """Buckets that nobody has used."""
    return Buckets()


def test_a_bucket_is_full_at_first(buckets: Buckets) -> None:
    """Who comes for the first time may take all at once, and nothing more."""
    assert buckets.wait_for(10) == 0
    assert buckets.wait_for(1) == 1


def test_tokens_are_taken_one_by_one_too(buckets: Buckets) -> None:
    """It does not matter in how many requests they are taken."""
    assert [buckets.wait_for(n) for n in (1, 2, 3, 4)] == [0] * 4
    assert buckets.wait_for(1) == 1


def test_nothing_costs_nothing(buckets: Buckets) -> None:
    """Who asks for nothing may do so with an empty bucket."""
    assert buckets.wait_for(10) == 0
    assert buckets.wait_for(0) == 0


def test_what_is_charged_is_owed(buckets: Buckets) -> None:
    """What was done already is owed, up to a whole bucket."""
    buckets.wait_for(5)
    buckets._buckets.charge(US, 7)
    assert buckets.wait_for(1) == 2  # two are owed, one is wanted
    buckets._buckets.charge(US, 1000)
    assert buckets.wait_for(1) == 6
    assert buckets.wait_for(10, THEM) == 0


def test_check_takes_nothing(buckets: Buckets) -> None:
    """Whether there is a token is seen without taking one."""
    buckets.wait_for(9)
    for _ in range(3):
        buckets._buckets.check(US)
    buckets.wait_for(1)
    with pytest.raises(LimitExceeded):
        buckets._buckets.check(US)
    assert buckets._buckets.bound.refusals == 1


def test_trusted_clients() -> None:
    """They have no buckets."""
    trusting = TokenBuckets(1, 1.0, Clock(), "servers", lambda each: each == US)
    trusting.charge(US, 100)
    trusting.check(US)
    trusting.take(US, 100)
    assert trusting.bound.use() == 0


# (tokens wanted of an empty bucket, seconds until they are there)
WAITS = [(1, 1), (2, 1), (3, 2), (4, 2), (9, 5), (10, 5)]


@pytest.mark.parametrize(("tokens", "seconds"), WAITS)
def test_it_is_told_when_to_come_again(
    tokens: int, seconds: int, buckets: Buckets
) -> None:
    """After as many seconds as were told, and not much before, there are enough."""
    buckets.wait_for(10)
    assert buckets.wait_for(tokens) == seconds
    buckets.clock.advance(seconds - 1)
    if tokens > (seconds - 1) * 2:
        assert buckets.wait_for(tokens) == 1
    buckets.clock.advance(1)
    assert buckets.wait_for(tokens) == 0


def test_a_refusal_takes_nothing(buckets: Buckets) -> None:
    """Who is refused has not lost what was left, however often he is."""
    buckets.wait_for(7)
    for _ in range(5):
        assert buckets.wait_for(4) == 1
    assert buckets.wait_for(3) == 0


def test_a_refusal_does_not_stop_the_filling(buckets: Buckets) -> None:
    """Who asks in vain all the time has tokens as soon as who waits."""
    buckets.wait_for(10)
    for _ in range(9):
        assert buckets.wait_for(10) > 0
        buckets.clock.advance(0.5)
    assert buckets.wait_for(10) == 1
    buckets.clock.advance(0.5)
    assert buckets.wait_for(10) == 0


def test_a_bucket_does_not_overflow(buckets: Buckets) -> None:
    """Who did not come for long has no more than who never came."""
    buckets.wait_for(1)
    buckets.clock.advance(3600)
    assert buckets.wait_for(10) == 0
    assert buckets.wait_for(1) == 1


def test_more_than_there_can_ever_be(buckets: Buckets) -> None:
    """A request that is larger than the bucket is refused, full as it may be."""
    assert buckets.wait_for(11) == 1
    buckets.clock.advance(3600)
    assert buckets.wait_for(11) == 1
    assert buckets.wait_for(10) == 0


def test_what_is_told() -> None:
    """Who is refused is told who he is taken for, and what he may do."""
    with pytest.raises(LimitExceeded, match=r"192\.0\.2\.1 asks for more than 0\.5 s"):
        TokenBuckets(1, 0.5, Clock()).take(US, 2)


# (two addresses, whether they are one client)
ADDRESSES = [
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
    ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ("2001:db8:1:2::1", "2001:db8:2:2::1", False),
    # All of IPv4 is one /64 where it is written in IPv6.
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ("::ffff:192.0.2.1", "::ffff:c000:201", True),
    ("fe80::1%eth0", "fe80::2%eth0", True),
    ("::1", "127.0.0.1", False),
]


@pytest.mark.parametrize(("first", "second", "is_one"), ADDRESSES)
def test_clients(first: str, second: str, buckets: Buckets, *, is_one: bool) -> None:
    """An IPv4 address is a client, and so is all that an IPv6 subscriber has."""
    assert buckets.wait_for(10, first) == 0
    assert (buckets.wait_for(10, second) > 0) == is_one


def test_few_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many clients, who did not come for longest is forgotten."""
    monkeypatch.setattr(rate_limit, "_MAX_CLIENTS", 2)
    buckets = Buckets()
    assert buckets.wait_for(10, US) == 0
    assert buckets.wait_for(10, THEM) == 0
    assert buckets.wait_for(1, US) > 0  # who is remembered for having come again
    assert buckets.wait_for(1, "192.0.2.3") == 0
    assert buckets.wait_for(1, US) > 0
    assert buckets.wait_for(10, THEM) == 0
