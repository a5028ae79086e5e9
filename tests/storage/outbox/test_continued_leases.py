"""A lease that goes on to the next transaction of its queue, while no other waits."""

from homeserver.storage.outbox.leases import LEASE_SECONDS
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, C, Endpoint, StoreTime, numbered, numbers


def test_a_lease_goes_on_while_no_other_one_waits(
    own: Endpoint, time: StoreTime
) -> None:
    """A destination with more in its queue keeps its lease, which is renewed."""
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


def test_a_lease_ends_when_another_destination_waits(
    own: Endpoint, time: StoreTime
) -> None:
    """However much it has in its queue, it is behind who is due already."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add(A, 2)
    own.add(B, 3)
    time.advance(1)
    assert own.go_on(pending) is None
    assert [each.destination for each in own.lease(1)] == [B]
    assert [each.destination for each in own.lease(1)] == [A]


def test_a_lease_goes_on_beside_those_that_are_served(own: Endpoint) -> None:
    """Destinations that are leased, or in a back-off, end no other lease."""
    for destination in (A, B, C):
        own.add(destination, 1)
    pending_to = {pending.destination: pending for pending in own.lease()}
    own.fail(pending_to[C], lambda _: 1.0)
    own.add(A, 2)
    assert own.go_on(pending_to[A]) is not None


def test_a_lease_that_goes_on_drops_what_is_stale(
    own: Endpoint, time: StoreTime
) -> None:
    """Where nothing is left but what is dropped, the lease is over."""
    own.add(A, 1)
    [pending] = own.lease()
    own.add_entry(A, [], [numbered(2)], is_ephemeral=True)
    time.advance(3600)
    result_of(own.leases.renew([own.queue.of(A)]))
    assert own.go_on(pending) is None
    assert own.rows("SELECT queued, due_ts, holder FROM destinations") == [
        (0, None, None)
    ]


def test_a_lease_that_goes_on_meets_damage(own: Endpoint) -> None:
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


def test_a_lease_that_was_lost_does_not_go_on(
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
