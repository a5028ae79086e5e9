"""What is due after a start: of an endpoint alone, beside others, and after a crash."""

from homeserver.storage.engine.immediate import ImmediateDatabase
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, C, Endpoint, StoreTime


def test_all_are_due_after_a_start(own: Endpoint, time: StoreTime) -> None:
    """Everybody is due after a start, so many a second, in the order that is given."""
    for destination in (A, B, C):
        own.add(destination, 1)
    for pending in own.lease():
        own.fail(pending, lambda _: 1000.0)
    result_of(own.leases.begin([own.queue.of(C), own.queue.of(A), own.queue.of(B)], 50))
    assert [pending.destination for pending in own.lease()] == [C]
    for destination in (A, B):
        time.advance(0.019)
        assert own.lease(serving=[A, B, C]) == []
        time.advance(0.001)
        assert [pending.destination for pending in own.lease()] == [destination]


def test_start_keeps_the_failures(own: Endpoint) -> None:
    """How often a destination failed is known after a start."""
    own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending)
    result_of(own.leases.begin([own.queue.of(A)], 50))
    [pending] = own.lease()
    assert own.fail(pending) == 2.0


def test_start_makes_nothing_due_that_is_not_owed(own: Endpoint) -> None:
    """What was delivered meanwhile is left alone."""
    own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending)
    result_of(own.leases.begin([own.queue.of(A)], 50))
    assert own.rows("SELECT due_ts FROM destinations") == [(None,)]


def test_start_after_a_crash(database: ImmediateDatabase, time: StoreTime) -> None:
    """Who has the store for itself takes over at once what a dead process held."""
    before = Endpoint(database, time, "before")
    before.add(A, 1)
    [pending] = before.lease()
    after = Endpoint(database, time, "after")
    result_of(after.leases.begin(result_of(after.leases.pending()), 50))
    assert after.lease() == [pending]


def test_start_beside_another(pair: tuple[Endpoint, Endpoint]) -> None:
    """Who starts beside another endpoint leaves to it what it holds."""
    first, second = pair
    first.add(A, 1)
    first.lease()
    result_of(second.leases.begin([second.queue.of(A)], 50))
    assert second.lease() == []


def test_start_of_a_worker(database: ImmediateDatabase, time: StoreTime) -> None:
    """The first one ends all leases; one that joins others, those of its own name."""
    endpoints = [
        Endpoint(database, time, name, is_shared=True, joins=joins)
        for name, joins in {"old": True, "1": False, "2": True}.items()
    ]
    _, first, second = endpoints
    for each, destination in zip(endpoints, (A, B, C), strict=True):
        each.add(destination, 1)
        each.lease()
    result_of(second.leases.begin([], 50))
    assert [each.destination for each in second.lease()] == [C]
    result_of(first.leases.begin(result_of(first.leases.pending()), 50))
    time.advance(1)
    assert {each.destination for each in first.lease()} == {A, B, C}
