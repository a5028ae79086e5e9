"""What is removed of what was received and sent, and what is not."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.retention import STEP, Outcome, Removed
from tests.support.aging_store import HOUR, AgingStore
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B


@pytest.fixture
def store(database: ImmediateDatabase) -> AgingStore:
    """A store in which nothing has happened yet."""
    return AgingStore(database)


Step = Callable[[float], Coroutine[Deferred[Any], Any, Removed]]


def removed(step: Step, seconds: float) -> int:
    """How many a step has removed."""
    return result_of(step(seconds)).count


def test_nothing(store: AgingStore) -> None:
    """Where nothing was received or sent, nothing is removed."""
    store.count()
    assert store.length() == 0
    retention = store.retention
    for step in (
        store.prune_delivered,
        store.prune_rejected,
        store.prune_dropped,
        retention.prune_dropped_entries,
        retention.prune_received,
        retention.strip_received,
    ):
        assert result_of(step(0.0)) == Removed(0, 0)


def test_received_by_age(store: AgingStore) -> None:
    """What came so long ago goes with its reply, and what came later stays."""
    store.receive("1", "2")
    store.time.advance(HOUR)
    store.receive("3")
    store.count()
    assert removed(store.retention.prune_received, HOUR + 1) == 0
    assert removed(store.retention.prune_received, HOUR) == 2
    assert removed(store.retention.prune_received, HOUR) == 0
    assert store.listed() == ["3"]
    assert store.replies("1", "2", "3") == ["3"]
    assert store.rows("received_pdus") == 1
    store.receive("1")
    assert store.listed() == ["3", "1"]


def test_content_by_age(store: AgingStore) -> None:
    """What has lost its content is not listed, and its reply is still known."""
    store.receive("1", "2")
    store.time.advance(HOUR)
    store.receive("3")
    store.count()
    assert removed(store.retention.strip_received, HOUR) == 2
    assert removed(store.retention.strip_received, HOUR) == 0
    assert store.listed() == ["3"]
    assert store.replies("1", "2", "3") == ["1", "2", "3"]
    assert store.rows("received_pdus") == 1
    left = store.endpoint.rows(
        "SELECT edus, problems FROM received_transactions ORDER BY id"
    )
    assert left[:2] == [("[]", "[]")] * 2
    assert left[2][1] == '["odd"]'
    store.receive("1")
    assert store.listed() == ["3"], "it came before"
    assert removed(store.retention.prune_received, HOUR) == 2
    assert store.replies("1", "2", "3") == ["3"]
    assert removed(store.retention.strip_received, 0) == 1
    assert store.rows("received_pdus") == 0


def test_the_first_that_is_young_ends_it(store: AgingStore) -> None:
    """Where the clock was set back, an old one after a young one waits for it."""
    store.time.advance(2 * HOUR)
    store.receive("young")
    store.time.advance(-HOUR)
    store.receive("old")
    store.time.advance(HOUR)
    store.count()
    assert removed(store.retention.prune_received, HOUR) == 0
    assert removed(store.retention.strip_received, HOUR) == 0
    assert store.listed() == ["young", "old"]


def test_a_step_removes_so_many(store: AgingStore) -> None:
    """A step removes so many, the oldest first."""
    names = [str(number) for number in range(STEP + 1)]
    store.receive(*names)
    store.count()
    assert removed(store.retention.strip_received, 0) == STEP
    assert store.listed() == names[STEP:]
    assert removed(store.retention.strip_received, 0) == 1
    assert removed(store.retention.prune_received, 0) == STEP
    assert store.replies(*names) == names[STEP:]
    assert store.listed() == [], "its content is gone as before"
    assert removed(store.retention.prune_received, 0) == 1
    for _ in names:
        store.deliver()
    store.settle()
    assert removed(store.prune_delivered, 0) == STEP
    assert removed(store.prune_delivered, 0) == 1


def test_only_what_was_counted_is_removed(store: AgingStore) -> None:
    """What was not counted yet stays until it is."""
    store.receive("1")
    assert removed(store.retention.prune_received, 0) == 0
    assert removed(store.retention.strip_received, 0) == 0
    store.count()
    assert removed(store.retention.strip_received, 0) == 1
    store.deliver()
    store.reject()
    for seconds in (0, 59.999):
        store.time.advance(seconds)
        store.count()
        assert removed(store.prune_delivered, 0) == 0
        assert removed(store.prune_rejected, 0) == 0
    store.time.advance(0.001)
    steps: list[tuple[Outcome, Step]] = [
        ("delivered_ts", store.prune_delivered),
        ("rejected_ts", store.prune_rejected),
    ]
    for outcome, step in steps:
        assert removed(step, 0) == 0
        result_of(store.retention.count_sent(outcome))
        assert removed(step, 0) == 1


@pytest.mark.parametrize("pdus", [0, 1, 50])
def test_length_of_what_was_received(store: AgingStore, pdus: int) -> None:
    """It grows with the content, once for each, and is nothing after all is gone."""
    store.receive("1", "2", pdus=pdus, size=1000)
    assert store.length() == 0
    store.count()
    length = store.length()
    assert 2 * (1000 * pdus + 200) < length < 2 * (1500 * pdus + 600)
    store.count()
    assert store.length() == length
    stripped = result_of(store.retention.strip_received(0))
    assert stripped.length > 2 * 1000 * pdus
    assert store.length() == length - stripped.length
    assert 0 < store.length() < 1000
    pruned = result_of(store.retention.prune_received(0))
    assert stripped.length + pruned.length == length
    assert store.length() == 0


def test_length_of_what_was_sent(store: AgingStore) -> None:
    """What was delivered and what was rejected count; what is queued does not."""
    store.endpoint.add(B, *range(50))
    store.settle()
    assert store.length() == 0
    [owed] = store.endpoint.lease()
    store.endpoint.deliver(owed, {"pdus": {}, "x": "y" * 1000})
    store.settle()
    delivered = store.length()
    assert 1200 < delivered < 1500, "the reply is kept, and the body is not"
    store.endpoint.add(B, *range(50))
    [owed] = store.endpoint.lease()
    store.endpoint.reject(owed)
    store.settle()
    rejected = store.length() - delivered
    assert rejected > len(owed.body) + 200, "its body is kept"
    store.settle()
    assert store.length() == delivered + rejected
    done = result_of(store.prune_delivered(0))
    assert (done.count, done.length) == (1, delivered)
    done = result_of(store.prune_rejected(0))
    assert (done.count, done.length, store.length()) == (1, rejected, 0)


def test_delivered_by_age(store: AgingStore) -> None:
    """A transaction that was delivered so long ago goes with its entries."""
    first = store.deliver()
    store.time.advance(HOUR)
    second = store.deliver()
    store.settle()
    assert removed(store.prune_delivered, HOUR + 61) == 0
    assert removed(store.prune_delivered, HOUR + 60) == 1
    assert (store.is_told(first), store.is_told(second)) == (False, True)
    assert store.rows("outbound_entries") == store.rows("outbound_transactions") == 1


def test_rejected_by_age(store: AgingStore) -> None:
    """So does one that was rejected so long ago."""
    first = store.reject()
    store.time.advance(HOUR)
    second = store.reject()
    store.settle()
    assert removed(store.prune_rejected, HOUR + 61) == 0
    assert removed(store.prune_delivered, 0) == 0
    assert removed(store.prune_rejected, HOUR + 60) == 1
    assert (store.is_told(first), store.is_told(second)) == (False, True)


def test_dropped_by_age(store: AgingStore) -> None:
    """So does what was dropped so long ago."""
    first = store.drop()
    second = store.drop()
    assert removed(store.retention.prune_dropped_entries, HOUR + 1) == 0
    assert removed(store.retention.prune_dropped_entries, HOUR) == 1
    assert (store.is_told(first), store.is_told(second)) == (False, True)


def test_given_up_by_age(store: AgingStore) -> None:
    """So does a transaction that an operator has given up, with its entries."""
    first, second = store.endpoint.add(B, 1), store.endpoint.add(B, 2)
    store.endpoint.lease()
    dropped = result_of(store.endpoint.queue.drop(B, first))
    assert dropped is not None
    assert dropped.txn_id is not None
    third = store.endpoint.add(B, 3)
    store.settle()
    assert removed(store.retention.prune_dropped_entries, 0) == 0
    assert removed(store.prune_dropped, 61) == 0
    assert removed(store.prune_dropped, 60) == 1
    assert not store.is_told(first)
    assert not store.is_told(second), "it was in the same transaction"
    assert store.endpoint.state(B, third)["state"] == "queued"


def test_what_is_queued_is_never_removed(store: AgingStore) -> None:
    """Neither what waits, nor what is being sent, nor what failed, however old."""
    waiting, sent = store.endpoint.add(A, 1), store.endpoint.add(B, 2)
    [first, _] = store.endpoint.lease()
    store.endpoint.fail(first)
    later = store.endpoint.add(B, 3)
    store.time.advance(1000 * HOUR)
    store.count()
    for step in (
        store.prune_delivered,
        store.prune_rejected,
        store.prune_dropped,
        store.retention.prune_dropped_entries,
    ):
        assert removed(step, 0) == 0
    assert store.rows("outbound_entries") == 3
    assert store.rows("outbound_transactions") == 2
    assert store.endpoint.state(A, waiting)["state"] == "queued"
    assert store.is_told(sent)
    assert store.is_told(later)


def test_many_outcomes_of_one_moment(store: AgingStore) -> None:
    """What has had its outcome in one millisecond is counted together, and once."""
    for _ in range(501):
        store.deliver()
    store.settle()
    taken = 0
    while (done := result_of(store.prune_delivered(0))).count:
        taken += done.length
    assert store.rows("outbound_transactions") == 0
    assert store.length() == 0
    assert taken > 501 * 230


# (seconds by the clock, by a clock that cannot be set, the lag afterwards)
LAGS = [
    pytest.param([(60, 60, 0)], id="as the clock"),
    pytest.param([(-86400, 60, 0), (60, 60, 0)], id="set back"),
    pytest.param([(1e9 + 60, 60, 1e9 - 60), (60, 60, 1e9 - 120)], id="set forward"),
    pytest.param([(1e9, 0, 1e9), (-1e9, 60, 0)], id="set forward, then right"),
    pytest.param([(100, 0, 100), (60, 60, 40), (60, 60, 0), (60, 60, 0)], id="stopped"),
]


@pytest.mark.parametrize("steps", LAGS)
def test_lag(store: AgingStore, steps: list[tuple[float, float, float]]) -> None:
    """The time of ages follows the clock, at most at double the speed."""
    assert result_of(store.retention.lag(60)) == 0  # the first time of a store
    for by_clock, passed, expected in steps:
        store.time.advance(by_clock)
        assert result_of(store.retention.lag(passed)) == expected
