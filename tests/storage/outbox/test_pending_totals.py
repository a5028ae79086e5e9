"""What is owed to all destinations together, as a monitor sees it."""

from homeserver.protocol.canonical_json import Json
from homeserver.storage.outbox.progress import PendingTotals, TotalsStore
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, C, Endpoint, StoreTime


def totals(own: Endpoint) -> PendingTotals:
    """What is owed now."""
    return result_of(TotalsStore(own.database, lambda _: own.time.now_ts).load())


def test_nothing(own: Endpoint) -> None:
    """Where nothing was ever queued, nothing is owed."""
    assert totals(own) == PendingTotals(0, 0.0, 0, 0)


def test_entries(own: Endpoint, time: StoreTime) -> None:
    """Entries and their destinations are counted; the oldest has the age."""
    own.add(A, 1)
    time.advance(5)
    own.add(A, 2)
    own.add(B, 3)
    time.advance(2.5)
    assert totals(own) == PendingTotals(3, 7.5, 2, 0)


def test_what_is_cut_is_owed(own: Endpoint, time: StoreTime) -> None:
    """An entry has its age also while it is on its way."""
    own.add(A, 1)
    [transaction] = own.lease()
    time.advance(5)
    own.add(A, 2)
    time.advance(1)
    assert totals(own) == PendingTotals(2, 6.0, 1, 0)
    own.deliver(transaction)
    assert totals(own) == PendingTotals(1, 1.0, 1, 0)


def test_back_off(own: Endpoint) -> None:
    """A destination that failed last time is backing off, until it answers."""
    own.add(A, 1)
    own.add(B, 2)
    [first, _] = own.lease()
    own.fail(first)
    assert totals(own) == PendingTotals(2, 0.0, 1, 1)


def test_what_is_not_owed(own: Endpoint, time: StoreTime) -> None:
    """What was delivered or rejected is not owed, nor are EDUs that were dropped."""
    own.add(A, 1)
    own.add(B, 2)
    transactions = {each.destination: each for each in own.lease(2)}
    typing: Json = {"edu_type": "m.typing", "content": {}}
    own.add_entry(C, [], [typing], is_ephemeral=True)
    own.deliver(transactions[A])
    own.reject(transactions[B])
    time.advance(100_000)
    assert own.lease() == []
    assert totals(own) == PendingTotals(0, 0.0, 0, 0)


def test_entries_of_an_older_store(own: Endpoint) -> None:
    """An entry of which no time is known has no age."""
    own.add(A, 1)
    own.rows("UPDATE outbound_entries SET queued_ts = 0 RETURNING id")
    assert totals(own) == PendingTotals(1, 0.0, 1, 0)


def test_clock_that_was_set_back(own: Endpoint, time: StoreTime) -> None:
    """Nothing is younger than now."""
    own.add(A, 1)
    time.advance(-60)
    assert totals(own).oldest_seconds == 0.0
