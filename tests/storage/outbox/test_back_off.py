"""The pause after a failure: how long it is, and what ends it before its time."""

from tests.support.coroutines import result_of
from tests.support.endpoint_store import MAX_RETRY, A, B, Endpoint, StoreTime


def test_the_same_bytes_are_due_after_the_pause(own: Endpoint, time: StoreTime) -> None:
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
