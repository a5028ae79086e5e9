"""What is removed of what was received and sent, and what is not."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import Json
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.received import (
    ReceivedStore,
    ReceivedTransaction,
)
from homeserver.storage.retention import (
    OUTCOMES,
    STEP,
    Outcome,
    Removed,
    RetentionStore,
)
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, StoreTime
from tests.support.our_names import OUR_NAME

HOUR = 3600.0


class House:
    """A store with what was received and sent, and what removes it."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self.time = StoreTime()
        self.endpoint = Endpoint(database, self.time)
        self.received = ReceivedStore(database, OUR_NAME, Changes(Clock()))
        self.retention = RetentionStore(database, lambda _: self.time.now_ts)
        self.prune_delivered = partial(self.retention.prune_sent, "delivered_ts")
        self.prune_rejected = partial(self.retention.prune_sent, "rejected_ts")
        self.prune_dropped = partial(self.retention.prune_sent, "dropped_ts")
        self._database = database

    def receive(self, *txn_ids: str, pdus: int = 1, size: int = 10) -> None:
        """Receive transactions now."""
        for txn_id in txn_ids:
            events = [
                JudgedPdu(None, None, "accepted", b'"' + b"x" * size + b'"')
                for _ in range(pdus)
            ]
            edus: list[Json] = [{"edu_type": "m.test", "content": {}}]
            reply = f"reply to {txn_id}".encode()
            result_of(
                self.received.record(
                    ReceivedTransaction(
                        A,
                        txn_id,
                        self.time.now_ts,
                        "ed25519:a",
                        None,
                        events,
                        edus,
                        ["odd"],
                        reply,
                    )
                )
            )

    def count(self) -> None:
        """Count all that there is to count."""
        while result_of(self.retention.count_received()):
            pass
        for outcome in OUTCOMES:
            while result_of(self.retention.count_sent(outcome)):
                pass

    def settle(self) -> None:
        """Let the minute pass after which an outcome may be counted, and count."""
        self.time.advance(60)
        self.count()

    def length(self) -> int:
        """What is kept takes so much."""
        return result_of(self.retention.length())

    def listed(self) -> list[object]:
        """The transactions that are shown."""
        return [each.txn_id for each in result_of(self.received.after(0, None, 99, 0))]

    def replies(self, *txn_ids: str) -> list[str]:
        """The transactions whose reply is still known."""
        return [
            txn_id
            for txn_id in txn_ids
            if result_of(self.received.reply_to(A, txn_id)) is not None
        ]

    def rows(self, table: str) -> int:
        """How many rows a table has."""

        def job(cursor: Cursor) -> int:
            [count] = cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
            return int(count)

        return result_of(self._database.read(job))

    def deliver(self) -> int:
        """Queue something and deliver it; its ID."""
        own_id = self.endpoint.add(B, 1)
        [owed] = self.endpoint.lease()
        self.endpoint.deliver(owed)
        return own_id

    def reject(self) -> int:
        """Queue something that is rejected; its ID."""
        own_id = self.endpoint.add(B, 2)
        [owed] = self.endpoint.lease()
        self.endpoint.reject(owed)
        return own_id

    def drop(self) -> int:
        """Queue something that is dropped, as it is stale after an hour; its ID."""
        own_id = self.endpoint.add_entry(
            B, [], [{"edu_type": "m.x"}], is_ephemeral=True
        )
        self.time.advance(HOUR)
        assert self.endpoint.lease() == []
        return own_id

    def is_told(self, own_id: int) -> bool:
        """Whether it can be told what has become of something that was sent."""
        return result_of(self.endpoint.queue.state(B, own_id)) is not None


@pytest.fixture
def house(database: ImmediateDatabase) -> House:
    """A house in which nothing has happened yet."""
    return House(database)


Step = Callable[[float], Coroutine[Deferred[Any], Any, Removed]]


def removed(step: Step, seconds: float) -> int:
    """How many a step has removed."""
    return result_of(step(seconds)).count


def test_nothing(house: House) -> None:
    """Where nothing was received or sent, nothing is removed."""
    house.count()
    assert house.length() == 0
    store = house.retention
    for step in (
        house.prune_delivered,
        house.prune_rejected,
        house.prune_dropped,
        store.prune_dropped_entries,
        store.prune_received,
        store.strip_received,
    ):
        assert result_of(step(0.0)) == Removed(0, 0)


def test_received_by_age(house: House) -> None:
    """What came so long ago goes with its reply, and what came later stays."""
    house.receive("1", "2")
    house.time.advance(HOUR)
    house.receive("3")
    house.count()
    assert removed(house.retention.prune_received, HOUR + 1) == 0
    assert removed(house.retention.prune_received, HOUR) == 2
    assert removed(house.retention.prune_received, HOUR) == 0
    assert house.listed() == ["3"]
    assert house.replies("1", "2", "3") == ["3"]
    assert house.rows("received_pdus") == 1
    house.receive("1")
    assert house.listed() == ["3", "1"]


def test_content_by_age(house: House) -> None:
    """What has lost its content is not listed, and its reply is still known."""
    house.receive("1", "2")
    house.time.advance(HOUR)
    house.receive("3")
    house.count()
    assert removed(house.retention.strip_received, HOUR) == 2
    assert removed(house.retention.strip_received, HOUR) == 0
    assert house.listed() == ["3"]
    assert house.replies("1", "2", "3") == ["1", "2", "3"]
    assert house.rows("received_pdus") == 1
    left = house.endpoint.rows(
        "SELECT edus, problems FROM received_transactions ORDER BY id"
    )
    assert left[:2] == [("[]", "[]")] * 2
    assert left[2][1] == '["odd"]'
    house.receive("1")
    assert house.listed() == ["3"], "it came before"
    assert removed(house.retention.prune_received, HOUR) == 2
    assert house.replies("1", "2", "3") == ["3"]
    assert removed(house.retention.strip_received, 0) == 1
    assert house.rows("received_pdus") == 0


def test_the_first_that_is_young_ends_it(house: House) -> None:
    """Where the clock was set back, an old one after a young one waits for it."""
    house.time.advance(2 * HOUR)
    house.receive("young")
    house.time.advance(-HOUR)
    house.receive("old")
    house.time.advance(HOUR)
    house.count()
    assert removed(house.retention.prune_received, HOUR) == 0
    assert removed(house.retention.strip_received, HOUR) == 0
    assert house.listed() == ["young", "old"]


def test_steps(house: House) -> None:
    """A step removes so many, the oldest first."""
    names = [str(number) for number in range(STEP + 1)]
    house.receive(*names)
    house.count()
    assert removed(house.retention.strip_received, 0) == STEP
    assert house.listed() == names[STEP:]
    assert removed(house.retention.strip_received, 0) == 1
    assert removed(house.retention.prune_received, 0) == STEP
    assert house.replies(*names) == names[STEP:]
    assert house.listed() == [], "its content is gone as before"
    assert removed(house.retention.prune_received, 0) == 1
    for _ in names:
        house.deliver()
    house.settle()
    assert removed(house.prune_delivered, 0) == STEP
    assert removed(house.prune_delivered, 0) == 1


def test_only_what_was_counted_is_removed(house: House) -> None:
    """What was not counted yet stays until it is."""
    house.receive("1")
    assert removed(house.retention.prune_received, 0) == 0
    assert removed(house.retention.strip_received, 0) == 0
    house.count()
    assert removed(house.retention.strip_received, 0) == 1
    house.deliver()
    house.reject()
    for seconds in (0, 59.999):
        house.time.advance(seconds)
        house.count()
        assert removed(house.prune_delivered, 0) == 0
        assert removed(house.prune_rejected, 0) == 0
    house.time.advance(0.001)
    steps: list[tuple[Outcome, Step]] = [
        ("delivered_ts", house.prune_delivered),
        ("rejected_ts", house.prune_rejected),
    ]
    for outcome, step in steps:
        assert removed(step, 0) == 0
        result_of(house.retention.count_sent(outcome))
        assert removed(step, 0) == 1


@pytest.mark.parametrize("pdus", [0, 1, 50])
def test_length_of_what_was_received(house: House, pdus: int) -> None:
    """It grows with the content, once for each, and is nothing after all is gone."""
    house.receive("1", "2", pdus=pdus, size=1000)
    assert house.length() == 0
    house.count()
    length = house.length()
    assert 2 * (1000 * pdus + 200) < length < 2 * (1500 * pdus + 600)
    house.count()
    assert house.length() == length
    stripped = result_of(house.retention.strip_received(0))
    assert stripped.length > 2 * 1000 * pdus
    assert house.length() == length - stripped.length
    assert 0 < house.length() < 1000
    pruned = result_of(house.retention.prune_received(0))
    assert stripped.length + pruned.length == length
    assert house.length() == 0


def test_length_of_what_was_sent(house: House) -> None:
    """What was delivered and what was rejected count; what is queued does not."""
    house.endpoint.add(B, *range(50))
    house.settle()
    assert house.length() == 0
    [owed] = house.endpoint.lease()
    house.endpoint.deliver(owed, {"pdus": {}, "x": "y" * 1000})
    house.settle()
    delivered = house.length()
    assert 1200 < delivered < 1500, "the reply is kept, and the body is not"
    house.endpoint.add(B, *range(50))
    [owed] = house.endpoint.lease()
    house.endpoint.reject(owed)
    house.settle()
    rejected = house.length() - delivered
    assert rejected > len(owed.body) + 200, "its body is kept"
    house.settle()
    assert house.length() == delivered + rejected
    done = result_of(house.prune_delivered(0))
    assert (done.count, done.length) == (1, delivered)
    done = result_of(house.prune_rejected(0))
    assert (done.count, done.length, house.length()) == (1, rejected, 0)


def test_delivered_by_age(house: House) -> None:
    """A transaction that was delivered so long ago goes with its entries."""
    first = house.deliver()
    house.time.advance(HOUR)
    second = house.deliver()
    house.settle()
    assert removed(house.prune_delivered, HOUR + 61) == 0
    assert removed(house.prune_delivered, HOUR + 60) == 1
    assert (house.is_told(first), house.is_told(second)) == (False, True)
    assert house.rows("outbound_entries") == house.rows("outbound_transactions") == 1


def test_rejected_by_age(house: House) -> None:
    """So does one that was rejected so long ago."""
    first = house.reject()
    house.time.advance(HOUR)
    second = house.reject()
    house.settle()
    assert removed(house.prune_rejected, HOUR + 61) == 0
    assert removed(house.prune_delivered, 0) == 0
    assert removed(house.prune_rejected, HOUR + 60) == 1
    assert (house.is_told(first), house.is_told(second)) == (False, True)


def test_dropped_by_age(house: House) -> None:
    """So does what was dropped so long ago."""
    first = house.drop()
    second = house.drop()
    assert removed(house.retention.prune_dropped_entries, HOUR + 1) == 0
    assert removed(house.retention.prune_dropped_entries, HOUR) == 1
    assert (house.is_told(first), house.is_told(second)) == (False, True)


def test_given_up_by_age(house: House) -> None:
    """So does a transaction that an operator has given up, with its entries."""
    first, second = house.endpoint.add(B, 1), house.endpoint.add(B, 2)
    house.endpoint.lease()
    dropped = result_of(house.endpoint.queue.drop(B, first))
    assert dropped is not None
    assert dropped.txn_id is not None
    third = house.endpoint.add(B, 3)
    house.settle()
    assert removed(house.retention.prune_dropped_entries, 0) == 0
    assert removed(house.prune_dropped, 61) == 0
    assert removed(house.prune_dropped, 60) == 1
    assert not house.is_told(first)
    assert not house.is_told(second), "it was in the same transaction"
    assert house.endpoint.state(B, third)["state"] == "queued"


def test_what_is_queued_is_never_removed(house: House) -> None:
    """Neither what waits, nor what is being sent, nor what failed, however old."""
    waiting, sent = house.endpoint.add(A, 1), house.endpoint.add(B, 2)
    [first, second] = house.endpoint.lease()
    house.endpoint.fail(first)
    later = house.endpoint.add(B, 3)
    house.time.advance(1000 * HOUR)
    house.count()
    for step in (
        house.prune_delivered,
        house.prune_rejected,
        house.prune_dropped,
        house.retention.prune_dropped_entries,
    ):
        assert removed(step, 0) == 0
    assert house.rows("outbound_entries") == 3
    assert house.rows("outbound_transactions") == 2
    assert house.endpoint.state(A, waiting)["state"] == "queued"
    assert house.is_told(sent)
    assert house.is_told(later)
    assert second.destination in {A, B}


def test_many_outcomes_of_one_moment(house: House) -> None:
    """What has had its outcome in one millisecond is counted together, and once."""
    for _ in range(501):
        house.deliver()
    house.settle()
    taken = 0
    while (done := result_of(house.prune_delivered(0))).count:
        taken += done.length
    assert house.rows("outbound_transactions") == 0
    assert house.length() == 0
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
def test_lag(house: House, steps: list[tuple[float, float, float]]) -> None:
    """The time of ages follows the clock, at most at double the speed."""
    assert result_of(house.retention.lag(60)) == 0  # the first time of a store
    for by_clock, passed, expected in steps:
        house.time.advance(by_clock)
        assert result_of(house.retention.lag(passed)) == expected
