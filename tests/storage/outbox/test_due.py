"""Which of the destinations that wait go first."""

import pytest

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import Leased
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, StoreTime

MANY = 60


def server(number: int, domain: str = "test") -> ServerName:
    """A destination."""
    return ServerName.parse(f"a{number}.s{number}.{domain}")


def queue(own: Endpoint, *names: ServerName) -> None:
    """Queue for destinations, one after the other."""
    for name in names:
        own.add(name, 1)
        own.time.advance(0.001)


def lease(own: Endpoint, quota: Quota) -> Leased:
    """Hold what is due."""
    return result_of(own.leases.lease(quota, ()))


def claimed(own: Endpoint, total: int, failing: int | None = None) -> list[ServerName]:
    """The destinations that are held now, in their order."""
    found = lease(own, Quota(total, total if failing is None else failing))
    return [pending.destination for pending in found.transactions]


def fail_all(own: Endpoint, *names: ServerName) -> None:
    """Let an attempt to each destination fail; the next one is due at once."""
    queue(own, *names)
    for pending in own.lease(len(names)):
        own.fail(pending, lambda _: 0.0)
        own.time.advance(0.001)  # of those due at the same time, any may go first


def test_all_that_wait_fit(own: Endpoint) -> None:
    """Where there is room for all, the order is that in which they became due."""
    waiting = [server(number) for number in range(10)]
    queue(own, *waiting)
    assert claimed(own, 10) == waiting


def test_newcomers_do_not_wait_for_a_crowd(own: Endpoint) -> None:
    """Where there is not, the last one goes as soon as the first one."""
    waiting = [server(number) for number in range(MANY)]
    queue(own, *waiting)
    assert claimed(own, 1) == [waiting[0]]
    assert claimed(own, 1) == [waiting[-1]]
    assert claimed(own, 4) == [waiting[1], waiting[-2], waiting[2], waiting[-3]]
    assert claimed(own, 1) == [waiting[-4]]


def test_who_was_served_is_no_newcomer(own: Endpoint) -> None:
    """What is left of a destination's queue waits behind all others."""
    waiting = [server(number) for number in range(6)]
    queue(own, *waiting)
    own.add_entry(waiting[0], [{}] * 50, [])
    own.time.advance(0.001)
    [first] = own.lease(1)
    own.deliver(first)
    own.time.advance(0.001)
    order = [claimed(own, 1)[0] for _ in range(6)]
    assert order[-1] == waiting[0]
    assert order[0] == waiting[-1]


def test_who_has_nothing_queued_is_a_newcomer_again(own: Endpoint) -> None:
    """A destination that was served to the end is as new as any other."""
    queue(own, A)
    [pending] = own.lease(1)
    own.deliver(pending)
    queue(own, *(server(number) for number in range(MANY)), A)
    assert claimed(own, 1) == [A]


def test_failing_ones_have_slots_of_their_own(own: Endpoint) -> None:
    """No more of them go than their slots, however many wait and are free."""
    failing = [server(number) for number in range(MANY)]
    fail_all(own, *failing)
    queue(own, A)
    found = lease(own, Quota(10, 2))
    assert [pending.destination for pending in found.transactions] == [A, *failing[:2]]
    assert found.failing == {own.queue.of(name) for name in failing[:2]}
    assert claimed(own, 10, 0) == []


def test_failing_ones_are_not_starved(own: Endpoint) -> None:
    """Of four times, the failing ones go first once."""
    failing = [server(number, "failing") for number in range(10)]
    fail_all(own, *failing)
    healthy = [server(number) for number in range(10)]
    queue(own, *healthy)
    order = [claimed(own, 1)[0] for _ in range(8)]
    assert [name in failing for name in order] == [False, False, True, False] * 2


def test_crowded_domains_go_last(own: Endpoint) -> None:
    """Where a domain has its share, others go first; alone, it may have the rest."""
    crowd = [server(number, "x").name for number in range(6)]
    crowded = [ServerName.parse(f"a{number}.crowd.test") for number in range(6)]
    queue(own, *crowded, *map(ServerName.parse, crowd[:2]))
    quota = Quota(3, 3, frozenset({"crowd.test"}))
    found = [pending.destination for pending in lease(own, quota).transactions]
    assert sorted(name.name for name in found[:2]) == sorted(crowd[:2])
    assert found[2] in crowded
    assert len(lease(own, quota).transactions) == 3


def test_wait(own: Endpoint, time: StoreTime) -> None:
    """It is said whether more are due now, and when the next one is."""
    assert lease(own, Quota(5, 5)).wait is None
    fail_all(own, A, B)
    own.lease(1)
    time.advance(0.001)
    assert lease(own, Quota(5, 0)).wait == pytest.approx(20, abs=0.1)
    assert lease(own, Quota(1, 1)).wait == 0.0
    assert lease(own, Quota(5, 5)).wait == pytest.approx(20, abs=0.1)


def test_quota() -> None:
    """A part of a quota has no more failing ones than it has in all."""
    assert Quota(100, 50, {"x"}).at_most(20) == Quota(20, 20, {"x"})
    assert Quota(10, 5).at_most(20) == Quota(10, 5)
