"""Leases of destinations that are due: which ones, how many, and until when."""

from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import LEASE_SECONDS
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, C, Endpoint, StoreTime, numbers


def test_the_longest_overdue_is_first(own: Endpoint, time: StoreTime) -> None:
    """Whose pause was over first is served first, whoever was known first."""
    for destination in (A, B, C):
        own.add(destination, 1)
    for pending, pause in zip(own.lease(), (3.0, 1.0, 2.0), strict=True):
        own.fail(pending, {1: pause}.__getitem__)
    time.advance(5)
    assert [pending.destination for pending in own.lease(2)] == [B, C]


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


def test_how_long_nothing_is_due(own: Endpoint, time: StoreTime) -> None:
    """It is told when the next destination is due."""
    own.add(A, 1)
    own.add(B, 1)
    first, second = own.lease()
    own.fail(first, lambda _: 7.0)
    own.fail(second, lambda _: 5.0)
    assert own.wait() == 5.0
    time.advance(4)
    assert own.wait() == 1.0


def test_a_rejected_transaction_is_followed_by_the_next(own: Endpoint) -> None:
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


def test_what_is_released_is_due_as_before(own: Endpoint) -> None:
    """What was claimed and not tried is due as before, and was no attempt."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    result_of(own.leases.release(pending))
    assert own.state(A, entry)["state"] == "queued"
    assert own.lease() == [pending]
    assert own.state(A, entry)["attempts"] == 0


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


def test_a_destination_is_pending_until_all_has_an_outcome(own: Endpoint) -> None:
    """A destination is owed something until something has come of all of it."""
    own.add(A, 1)
    own.add(B, 1)
    assert set(result_of(own.leases.pending())) == {own.queue.of(A), own.queue.of(B)}
    first, second = own.lease()
    own.add(A, 2)
    own.deliver(first)
    own.reject(second)
    assert result_of(own.leases.pending()) == [own.queue.of(A)]
