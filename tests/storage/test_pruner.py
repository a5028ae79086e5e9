"""When what is removed, in what order, and how others have the store meanwhile."""

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from homeserver.config.values import Retention
from tests.support.pruning import DAY, Pruning


def test_by_age() -> None:
    """Each kind goes after its days, delivered ones first, with nothing left over."""
    pruning = Pruning(Retention(received_days=20.0, sent_days=10.0))
    for kind in (
        "refusals",
        "content",
        "received",
        "entries",
        "dropped",
        "rejected",
        "delivered",
    ):
        pruning.put(kind, 40, 1, 1)
        pruning.put(kind, 5, 1)
    assert pruning.run() == [
        *[("delivered", 10)] * 2,
        *[("rejected", 10)] * 2,
        *[("dropped", 10)] * 2,
        *[("entries", 10)] * 2,
        *[("received", 20)] * 2,
        *[("content", 20)] * 2,
        *[("refusals", 20)] * 2,
    ]
    assert pruning.counted == [
        *[("sent", 50)] * 8,
        *[("received", 50)] * 4,
        *[("refused", 50)] * 2,
    ]


def test_replies_are_kept_for_a_week() -> None:
    """Content may go sooner than a week; the reply does not."""
    pruning = Pruning(Retention(received_days=1.0))
    pruning.put("received", 6, 1)
    pruning.put("content", 6, 1)
    assert pruning.run() == [("content", 1)]
    pruning = Pruning(Retention(received_days=1.0))
    pruning.put("received", 7, 1)
    assert pruning.run() == [("received", 7)]


MB = 1_000_000


def test_without_a_limit() -> None:
    """Where no size is configured, nothing goes for its size."""
    pruning = Pruning(Retention())
    pruning.put("delivered", 1, 10**12)
    assert pruning.run() == []
    assert pruning.pruner.bounds == []


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (60, []),
        (50, [("delivered", 0.007)]),
        (40, [("delivered", 0.007)] * 2),
        (30, [*[("delivered", 0.007)] * 2, ("received", 7)]),
        (20, [*[("delivered", 0.007)] * 2, ("received", 7), ("content", 0)]),
        (10, [*[("delivered", 0.007)] * 2, ("received", 7), *[("content", 0)] * 2]),
    ],
)
def test_by_size(limit: int, expected: list[tuple[str, float]]) -> None:
    """Delivered ones go first, then the oldest received, and no more than must."""
    pruning = Pruning(Retention(max_megabytes=limit))
    pruning.put("content", 0, 10 * MB, 10 * MB)
    pruning.put("received", 8, 10 * MB)
    pruning.put("rejected", 8, 10 * MB)
    pruning.put("delivered", 1, 10 * MB, 10 * MB)
    assert pruning.run() == expected
    [bound] = pruning.pruner.bounds
    assert (bound.use(), bound.limit) == (limit, limit)
    assert bound.refusals == 50 * len(expected)


def test_more_than_can_be_removed() -> None:
    """It is logged once that nothing is left to remove, not each minute."""
    with capturedLogs() as events:
        pruning = Pruning(Retention(max_megabytes=1))
        pruning.store.size = 5 * MB
        pruning.run()
        pruning.clock.pump([60.0] * 3)
        pruning.store.size = 0
        pruning.clock.pump([60.0] * 2)
        pruning.store.size = 6 * MB
        pruning.clock.pump([60.0] * 2)
    said = [each["megabytes"] for each in events if "megabytes" in each]
    assert said == [5, 6]


def test_everything_is_counted_first() -> None:
    """What was received is counted before the size is looked at."""
    pruning = Pruning(Retention())
    kinds = ("received", "delivered_ts", "rejected_ts", "dropped_ts")
    pruning.store.uncounted.update(dict.fromkeys(kinds, 4))
    pruning.put("delivered", 40, 1)
    pruning.run(0.13)
    assert pruning.store.uncounted["received"] < 0 < pruning.store.uncounted[kinds[-1]]
    assert pruning.store.asked == []
    pruning.clock.pump([0.01] * 10)
    assert [pruning.store.uncounted[kind] for kind in kinds] == [-1] * 4
    assert pruning.store.asked != []


def test_a_rest_follows_each_step() -> None:
    """After a step, others have the store for four times as long as it took."""
    pruning = Pruning(Retention())
    pruning.put("delivered", 40, 1, 1, 1)
    store, clock = pruning.store, pruning.clock
    waiting = store.waiting = Deferred[None]()
    pruning.pruner.start()
    clock.advance(0.5)
    assert store.asked == []
    store.waiting = None
    waiting.callback(None)
    assert len(store.asked) == 1
    clock.advance(1.99)
    assert len(store.asked) == 1
    clock.advance(0.01)
    assert len(store.asked) == 2, "and this one took no time"
    clock.advance(0.009)
    assert len(store.asked) == 2
    clock.advance(0.001)
    assert len(store.asked) == 3


def test_looks_each_minute() -> None:
    """What becomes old is removed within a minute."""
    pruning = Pruning(Retention())
    pruning.run(0.01)
    pruning.put("delivered", 30, 1)
    pruning.clock.advance(59.9)
    assert pruning.store.asked == []
    pruning.clock.advance(0.1)
    assert len(pruning.store.asked) == 1


def test_a_store_that_is_not_there() -> None:
    """While the store fails, nothing happens; it is tried again in a minute."""
    pruning = Pruning(Retention())
    pruning.put("delivered", 40, 1)
    pruning.store.is_unavailable = True
    assert pruning.run() == []
    pruning.store.is_unavailable = False
    pruning.clock.advance(60)
    assert len(pruning.store.asked) == 1


def stop(pruning: Pruning) -> Deferred[None]:
    """Stop it."""
    return Deferred.fromCoroutine(pruning.pruner.stop())


@pytest.mark.parametrize("seconds", [0.0, 0.011, 1.0])
def test_a_stop_ends_the_rest(seconds: float) -> None:
    """It ends at once while it rests, and removes nothing more."""
    pruning = Pruning(Retention())
    pruning.put("delivered", 40, 1, 1, 1)
    pruning.run(seconds)
    before = len(pruning.store.asked)
    assert stop(pruning).called
    pruning.clock.pump([60.0] * 3)
    assert len(pruning.store.asked) == before


def test_stop_waits_for_a_step() -> None:
    """A step that is being done is done, and is the last one."""
    pruning = Pruning(Retention(max_megabytes=1))
    pruning.put("delivered", 40, 9 * MB, 9 * MB)
    waiting = pruning.store.waiting = Deferred[None]()
    pruning.run(0.01)
    ended: list[None] = []
    stop(pruning).addCallback(ended.append)
    assert ended == []
    waiting.callback(None)
    assert ended == [None]
    assert len(pruning.store.asked) == 1
    assert not pruning.clock.getDelayedCalls()


@pytest.mark.parametrize("kind", ["received", "delivered_ts"])
def test_stop_while_it_counts(kind: str) -> None:
    """What is not counted yet is left to the next start."""
    pruning = Pruning(Retention())
    pruning.store.uncounted[kind] = 9
    pruning.run(0.03)
    before = pruning.store.uncounted[kind]
    assert 0 < before < 9
    assert stop(pruning).called
    assert pruning.store.uncounted[kind] == before


def test_stop_before_the_start() -> None:
    """What did not begin has nothing to end."""
    assert stop(Pruning(Retention())).called


def test_ages_are_counted_without_the_lag() -> None:
    """What only the clock makes old is not removed, except for the size."""
    pruning = Pruning(Retention(received_days=30, sent_days=30, max_megabytes=1))
    pruning.store.clock_ahead = 100 * DAY
    for what in ("received", "content", "delivered", "rejected", "refusals"):
        pruning.put(what, 129, MB)
    pruning.put("received", 131, MB)
    assert pruning.run() == [
        ("received", 130.0),
        ("delivered", 0.007),
        ("received", 107.0),
        ("content", 0.0),
    ]


def test_elapsed_time() -> None:
    """The time of ages is told how much has passed by a clock that cannot be set."""
    pruning = Pruning(Retention())
    pruning.clock.advance(5)
    pruning.run()
    pruning.clock.pump([60.0] * 2)
    assert pruning.store.elapsed == [5.0, pytest.approx(60.0, 1.0), pytest.approx(60.0)]


def test_long_lag() -> None:
    """A clock that is far ahead is logged once, and again after it was right."""
    with capturedLogs() as events:
        pruning = Pruning(Retention())
        pruning.store.clock_ahead = 8 * DAY
        pruning.run()
        for ahead in (8, 6, 9):
            pruning.store.clock_ahead = ahead * DAY
            pruning.clock.pump([60.0] * 2)
    assert [each["days"] for each in events if "days" in each] == [8, 9]
