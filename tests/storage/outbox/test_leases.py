"""Whose turn it is: who is due, who holds it, and what is recorded by whom."""

from typing import TypeVar

import pytest

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Job
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import LEASE_SECONDS
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.coroutines import result_of
from tests.support.endpoint_store import (
    MAX_RETRY,
    A,
    B,
    C,
    Endpoint,
    StoreTime,
    numbered,
    numbers,
)
from tests.support.memory_database import MemoryDatabase

_T = TypeVar("_T")


@pytest.fixture
def pair(database: ImmediateDatabase, time: StoreTime) -> tuple[Endpoint, Endpoint]:
    """Two endpoints that share it."""
    return (
        Endpoint(database, time, "first", is_shared=True),
        Endpoint(database, time, "second", is_shared=True),
    )


def test_who_was_due_first_is_first(own: Endpoint, time: StoreTime) -> None:
    """Whose pause was over first is served first, whoever was known first."""
    for destination in (A, B, C):
        own.add(destination, 1)
    for pending, pause in zip(own.lease(), (3.0, 1.0, 2.0), strict=True):
        own.fail(pending, {1: pause}.__getitem__)
    time.advance(5)
    assert [pending.destination for pending in own.lease(2)] == [B, C]


def test_a_turn_goes_on_while_nobody_waits(own: Endpoint, time: StoreTime) -> None:
    """Who has more in its queue keeps its turn, and the lease that goes with it."""
    for number in range(3):
        own.add_entry(A, [numbered(number)] * 30, [])
    [pending] = own.lease()
    time.advance(LEASE_SECONDS - 1)
    following = own.go_on(pending)
    assert following is not None
    assert numbers(following) == [1] * 30
    time.advance(LEASE_SECONDS - 0.001)
    assert own.lease() == []
    last = own.go_on(following)
    assert last is not None
    assert numbers(last) == [2] * 30
    assert own.go_on(last) is None
    assert own.wait() is None


def test_a_turn_ends_when_somebody_waits(own: Endpoint, time: StoreTime) -> None:
    """However much it has in its queue, it is behind who is due already."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    own.add(B, 3)
    time.advance(1)
    assert own.go_on(pending) is None
    assert [each.destination for each in own.lease(1)] == [B]
    assert [each.destination for each in own.lease(1)] == [A]


def test_a_turn_goes_on_beside_who_is_served(own: Endpoint, time: StoreTime) -> None:
    """Who is held by somebody, or in a back-off, waits for nobody's turn to end."""
    for destination in (A, B, C):
        own.add(destination, 1)
    pending_to = {pending.destination: pending for pending in own.lease()}
    own.fail(pending_to[C], lambda _: 1.0)
    own.add(A, 2)
    assert own.go_on(pending_to[A]) is not None


def test_a_turn_that_goes_on_drops_what_is_stale(
    own: Endpoint, time: StoreTime
) -> None:
    """Where nothing is left but what is dropped, the turn is over."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add_entry(A, [], [numbered(2)], is_ephemeral=True)
    time.advance(3600)
    result_of(own.leases.renew([own.queue.of(A)]))
    assert own.go_on(pending) is None
    assert own.rows("SELECT queued, due_ts, holder FROM destinations") == [
        (0, None, None)
    ]


def test_a_turn_that_goes_on_meets_damage(own: Endpoint) -> None:
    """What was delivered before it is recorded, and nobody holds the rest."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    damaged = own.add(A, 2)
    own.rows(
        f"UPDATE outbound_entries SET pdus = '[{{' WHERE id = {damaged} RETURNING id"
    )
    assert own.go_on(pending) is None
    assert own.state(A, entry)["state"] == "delivered"
    assert "cannot be read" in str(own.summary(A)["last_error"])
    assert own.rows("SELECT holder FROM destinations") == [(None,)]


def test_a_turn_that_was_lost_does_not_go_on(
    pair: tuple[Endpoint, Endpoint], time: StoreTime
) -> None:
    """Who has lost the lease is given nothing more of that destination."""
    first, second = pair
    first.add(A, 1)
    [pending] = first.lease()
    first.add(A, 2)
    time.advance(LEASE_SECONDS)
    [taken] = second.lease()
    assert first.go_on(pending) is None
    following = second.go_on(taken)
    assert following is not None
    assert numbers(following) == [2]


def test_no_more_are_taken_than_wanted(own: Endpoint) -> None:
    """What is left is taken the next time, which is at once."""
    for destination in (A, B, C):
        own.add(destination, 1)
    leased = result_of(own.leases.lease(Quota(2, 2), ()))
    assert (len(leased.transactions), leased.wait) == (2, 0.0)
    assert len(own.lease(2)) == 1


def test_who_is_served_is_not_taken_again(own: Endpoint, time: StoreTime) -> None:
    """However long an attempt takes, there is no second one beside it."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    assert own.lease(serving=[A]) == []
    time.advance(10 * LEASE_SECONDS)
    assert own.lease(serving=[A]) == []
    own.deliver(pending)
    assert [numbers(each) for each in own.lease()] == [[2]]


def test_others_are_taken_meanwhile(own: Endpoint, time: StoreTime) -> None:
    """Those that are being served keep nobody else from being found."""
    own.add(A, 1)
    own.lease()
    time.advance(2 * LEASE_SECONDS)
    own.add(B, 1)
    assert [each.destination for each in own.lease(1, serving=[A])] == [B]


def test_next_look(own: Endpoint, time: StoreTime) -> None:
    """It is told when the next destination is due."""
    own.add(A, 1)
    own.add(B, 1)
    first, second = own.lease()
    own.fail(first, lambda _: 7.0)
    own.fail(second, lambda _: 5.0)
    assert own.wait() == 5.0
    time.advance(4)
    assert own.wait() == 1.0


def test_failure(own: Endpoint, time: StoreTime) -> None:
    """After a failure the same bytes are due, when the pause is over."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    assert own.fail(pending, lambda failures: 3.0 * failures) == 3.0
    time.advance(2.999)
    assert own.lease() == []
    time.advance(0.001)
    assert own.lease() == [pending]
    assert own.fail(pending, lambda failures: 3.0 * failures) == 6.0


def test_delivery_ends_the_failures(own: Endpoint, time: StoreTime) -> None:
    """A delivery makes up for the failures of its own destination, not of others."""
    for destination in (A, B):
        own.add(destination, 1)
    for _ in range(3):
        for pending in own.lease():
            own.fail(pending, lambda _: 1.0)
        time.advance(1)
    pending_to = {pending.destination: pending for pending in own.lease()}
    own.deliver(pending_to[A])
    own.fail(pending_to[B])
    own.add(A, 2)
    [pending] = own.lease()
    assert own.fail(pending) == 1.0
    assert own.summary(B)["failures"] == 4


def test_refusal(own: Endpoint) -> None:
    """A rejected transaction is followed by the next one, and counted."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    own.reject(pending)
    [following] = own.lease()
    assert numbers(following) == [2]
    own.reject(following)
    assert own.wait() is None
    assert own.state(A, entry)["state"] == "rejected"
    summary = own.summary(A)
    assert (summary["queued"], summary["rejected"]) == (0, 2)
    assert (summary["failures"], summary["last_error"]) == (0, "never")


def test_given_back(own: Endpoint) -> None:
    """What was claimed and not tried is due as before, and was no attempt."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    result_of(own.leases.release(pending))
    assert own.state(A, entry)["state"] == "queued"
    assert own.lease() == [pending]
    assert own.state(A, entry)["attempts"] == 0


def test_clock_that_was_set_back(own: Endpoint, time: StoreTime) -> None:
    """No back-off lasts longer than the longest one, whatever the clock does."""
    own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: MAX_RETRY)
    time.advance(-1_000_000)
    assert own.wait() == MAX_RETRY
    time.advance(MAX_RETRY)
    assert own.lease() == [pending]


def test_clock_that_was_set_back_while_others_wait(
    own: Endpoint, time: StoreTime
) -> None:
    """It is so too where somebody else is due before."""
    for destination in (A, B):
        own.add(destination, 1)
    pending_to = {pending.destination: pending for pending in own.lease()}
    own.fail(pending_to[A], lambda _: MAX_RETRY)
    time.advance(-1_000_000)
    own.fail(pending_to[B], lambda _: 1.0)
    assert own.wait() == 1.0
    time.advance(MAX_RETRY)
    assert {pending.destination for pending in own.lease()} == {A, B}


def test_damage_hurts_nobody_else(own: Endpoint, time: StoreTime) -> None:
    """Entries that the store has damaged are told of, and the others go on."""
    own.add(A, 1)
    own.rows("UPDATE outbound_entries SET pdus = '[{' RETURNING id")
    time.advance(1)
    own.add(B, 2)
    assert [pending.destination for pending in own.lease()] == [B]
    summary = own.summary(A)
    assert (summary["queued"], summary["failures"]) == (1, 1)
    assert "what is queued cannot be read" in str(summary["last_error"])
    own.rows("UPDATE outbound_entries SET pdus = '[]' RETURNING id")
    time.advance(3600)
    assert [pending.destination for pending in own.lease(serving=[B])] == [A]


def test_end_of_a_back_off(own: Endpoint) -> None:
    """A back-off that a person ends is over at once, and so are its failures."""
    for destination in (A, B):
        own.add(destination, 1)
    for pending in own.lease():
        own.fail(pending, lambda _: 100.0, 50.0)
    result_of(own.queue.retry_immediately(A))
    [pending] = own.lease()
    assert pending.destination == A
    assert own.fail(pending) == 1.0


def test_end_of_a_back_off_during_an_attempt(
    pair: tuple[Endpoint, Endpoint],
) -> None:
    """If the attempt that runs fails, another one follows at once, and only one."""
    own, other = pair
    own.add(A, 1)
    [pending] = own.lease()
    result_of(own.queue.retry_immediately(A))
    assert other.lease() == []
    assert own.fail(pending, lambda _: 100.0) == 0.0
    assert own.lease() == [pending]
    assert own.fail(pending, lambda _: 100.0) == 100.0


def test_end_of_a_back_off_during_an_attempt_that_succeeds(own: Endpoint) -> None:
    """What follows it is no attempt that somebody has asked for."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    result_of(own.queue.retry_immediately(A))
    following = own.go_on(pending)
    assert following is not None
    assert own.fail(following, lambda _: 100.0) == 100.0


def test_end_of_a_back_off_where_nothing_is_owed(own: Endpoint) -> None:
    """Nothing becomes due that is not owed."""
    own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending)
    for destination in (A, B):
        result_of(own.queue.retry_immediately(destination))
    assert own.rows("SELECT due_ts FROM destinations") == [(None,)]


def test_sign_of_life(own: Endpoint, time: StoreTime) -> None:
    """Whoever is heard is tried soon, but not all the time; the others wait."""
    for destination in (A, B):
        own.add(destination, 1)
    for pending in own.lease():
        own.fail(pending, lambda _: 100.0, 2.0)
    time.advance(0.5)
    assert result_of(own.queue.reset_back_off(A))
    assert own.wait() == 1.5
    time.advance(1.5)
    [pending] = own.lease()
    assert pending.destination == A
    assert own.fail(pending, lambda failures: 10.0 * failures, 2.0) == 10.0
    time.advance(5)
    result_of(own.queue.reset_back_off(A))
    assert [each.destination for each in own.lease()] == [A]


def test_sign_of_life_makes_no_pause_longer(own: Endpoint) -> None:
    """An attempt that is due sooner stays so."""
    own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 1.0, 2.0)
    result_of(own.queue.reset_back_off(A))
    assert own.wait() == 1.0


def test_sign_of_life_during_an_attempt(pair: tuple[Endpoint, Endpoint]) -> None:
    """The attempt goes on alone; if it fails, it is a first failure."""
    own, other = pair
    own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 0.0)
    [pending] = own.lease()
    assert result_of(own.queue.reset_back_off(A))
    own.time.advance(2)
    assert other.lease() == []
    assert own.fail(pending) == 1.0


def test_sign_of_life_of_who_does_not_fail(own: Endpoint) -> None:
    """There is nothing to do for whom is not in back-off, or is not known."""
    own.add(A, 1)
    before = own.rows("SELECT * FROM destinations")
    for destination in (A, B):
        assert not result_of(own.queue.reset_back_off(destination))
    assert own.rows("SELECT * FROM destinations") == before


def test_start(own: Endpoint, time: StoreTime) -> None:
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


def test_who_shares_a_store_looks_each_second(
    pair: tuple[Endpoint, Endpoint], time: StoreTime
) -> None:
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
    """A store that is busy with others until all turns of `serving` have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.serving: dict[QueueId, int] = {}

    async def write(self, job: Job[_T]) -> _T:
        """Write, after a while."""
        self.serving.clear()
        return await super().write(job)


def test_turns_that_end_during_a_renewal(time: StoreTime) -> None:
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


def test_owed(own: Endpoint) -> None:
    """A destination is owed something until something has come of all of it."""
    own.add(A, 1)
    own.add(B, 1)
    assert set(result_of(own.leases.pending())) == {own.queue.of(A), own.queue.of(B)}
    first, second = own.lease()
    own.add(A, 2)
    own.deliver(first)
    own.reject(second)
    assert result_of(own.leases.pending()) == [own.queue.of(A)]
