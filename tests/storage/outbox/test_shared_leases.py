"""Leases of several endpoints that share a store: who holds one, until when."""

from typing import TypeVar

from homeserver.storage.engine.interface import Job
from homeserver.storage.outbox.leases import LEASE_SECONDS
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, StoreTime, numbers
from tests.support.memory_database import MemoryDatabase

_T = TypeVar("_T")


def test_one_of_two_endpoints_serves(pair: tuple[Endpoint, Endpoint]) -> None:
    """What one holds the other does not get, and sees nothing to do with it."""
    first, second = pair
    entry = first.add(A, 1)
    [pending] = first.lease()
    first.add(A, 2)
    assert second.lease() == []
    assert second.state(A, entry)["state"] == "sending"
    first.deliver(pending)
    assert [numbers(each) for each in second.lease()] == [[2]]


def test_who_shares_a_store_looks_each_second(pair: tuple[Endpoint, Endpoint]) -> None:
    """What another endpoint queues is found within a second."""
    first, second = pair
    assert second.wait() == 1.0
    first.add(A, 1)
    [pending] = first.lease()
    first.fail(pending, lambda _: 0.25)
    assert second.wait() == 0.25


def test_renewed_lease(pair: tuple[Endpoint, Endpoint], time: StoreTime) -> None:
    """Who renews its lease keeps the destination for as long as it wants."""
    first, second = pair
    first.add(A, 1)
    first.add(B, 1)
    first.lease()
    for _ in range(5):
        time.advance(LEASE_SECONDS - 1)
        result_of(first.leases.renew([first.queue.of(A), first.queue.of(B)]))
        assert second.lease() == []


class BusyDatabase(MemoryDatabase):
    """A store that is busy with others until all leases of `serving` have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.serving: dict[QueueId, int] = {}

    async def write(self, job: Job[_T]) -> _T:
        """Write, after a while."""
        self.serving.clear()
        return await super().write(job)


def test_leases_that_end_during_a_renewal(time: StoreTime) -> None:
    """Held on to is what was served when it was asked for, not when it is written."""
    database = BusyDatabase()
    first, second = (
        Endpoint(database, time, holder, is_shared=True) for holder in ("1", "2")
    )
    first.add(A, 1)
    first.lease()
    time.advance(LEASE_SECONDS - 1)
    database.serving = {first.queue.of(A): 1}
    result_of(first.leases.renew(database.serving))
    time.advance(LEASE_SECONDS - 1)
    assert second.lease() == []


def test_lease_of_a_dead_holder(
    pair: tuple[Endpoint, Endpoint], time: StoreTime
) -> None:
    """A lease that nobody renews ends, and the same bytes are another's to send."""
    first, second = pair
    first.add(A, 1)
    [pending] = first.lease()
    time.advance(LEASE_SECONDS - 0.001)
    assert second.lease() == []
    time.advance(0.001)
    assert second.lease() == [pending]


def test_holder_that_was_only_slow(
    pair: tuple[Endpoint, Endpoint], time: StoreTime
) -> None:
    """Who has lost a lease records nothing any more, neither renews nor gives back."""
    first, second = pair
    entry = first.add(A, 1)
    first.add(A, 2)
    [pending] = first.lease()
    time.advance(LEASE_SECONDS)
    [taken] = second.lease()
    before = first.rows("SELECT * FROM destinations")
    first.deliver(pending)
    first.reject(pending)
    assert first.fail(pending) is None
    time.advance(1)
    assert result_of(first.leases.renew([first.queue.of(A)])) == [first.queue.of(A)]
    result_of(first.leases.release(pending))
    assert first.rows("SELECT * FROM destinations") == before
    assert result_of(second.leases.renew([second.queue.of(A)])) == []
    assert first.state(A, entry)["state"] == "sending"
    assert first.state(A, entry)["attempts"] == 0
    second.deliver(taken)
    assert second.state(A, entry)["state"] == "delivered"
