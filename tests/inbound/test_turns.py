"""One transaction of an origin at a time, also beside other processes.

The next one waits for its turn, few of one origin wait, and origins are independent.
"""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.turns import Turns
from homeserver.net.cause import OURSELVES
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, LimitExceeded
from homeserver.protocol.identifiers import ServerName
from tests.support.inbox import NAMED, Inbox, edu
from tests.support.our_names import OUR_NAME
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, Peer, SlowKeys

A = ServerName.parse("a.test")


class OfOthers:
    """Locks of which other processes have some."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def take(self, key: str) -> bool:
        """As `Locks.take`."""
        if key in self.taken:
            return False
        self.taken.add(key)
        return True

    def release(self, key: str) -> None:
        """As `Locks.release`."""
        self.taken.remove(key)


class Origin:
    """Transactions of A, each of which ends when it is told to."""

    def __init__(self, clock: Clock, locks: OfOthers) -> None:
        self._turns = Turns(clock, Pace(clock), locks)
        self.begun: list[Deferred[None]] = []

    async def _work(self) -> None:
        async with self._turns.of(OUR_NAME, A):
            end: Deferred[None] = Deferred()
            self.begun.append(end)
            await end

    def send(self) -> Deferred[None]:
        """One more."""
        work: Coroutine[Deferred[Any], Any, None] = self._work()
        return Deferred.fromCoroutine(work)


KEY = f"{OUR_NAME} {A}"


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def others() -> OfOthers:
    """What other processes have."""
    return OfOthers()


@pytest.fixture
def origin(clock: Clock, others: OfOthers) -> Origin:
    """A server that sends."""
    return Origin(clock, others)


def test_the_turn_of_another_process(
    clock: Clock, others: OfOthers, origin: Origin
) -> None:
    """A transaction begins when the other process has released the turn."""
    others.take(KEY)
    sent = origin.send()
    clock.pump([0.005] * 10)
    assert origin.begun == []
    others.release(KEY)
    clock.pump([0.005])
    [end] = origin.begun
    assert others.taken == {KEY}
    end.callback(None)
    assert sent.called
    assert others.taken == set()


def test_a_turn_that_does_not_come(
    clock: Clock, others: OfOthers, origin: Origin
) -> None:
    """After half a minute it is refused, and the other process keeps its turn."""
    others.take(KEY)
    refused = origin.send()
    clock.pump([0.005] * 6001)
    failure: list[object] = []
    refused.addErrback(lambda f: failure.append(f.value))
    assert isinstance(failure[0], LimitExceeded)
    assert others.taken == {KEY}
    others.release(KEY)
    origin.send()
    assert len(origin.begun) == 1


def test_a_turn_that_is_given_up(
    clock: Clock, others: OfOthers, origin: Origin
) -> None:
    """Who is cancelled while it waits has taken nothing."""
    others.take(KEY)
    cancelled = origin.send()
    cancelled.addErrback(lambda _: None)
    cancelled.cancel()
    assert clock.getDelayedCalls() == []
    assert others.taken == {KEY}


class SlowClock(Clock):
    """A clock that goes on by a millisecond whenever it is read."""

    def seconds(self) -> float:
        """The time, which passes meanwhile."""
        self.rightNow += 0.001
        return self.rightNow


def test_a_short_transaction_among_long_ones() -> None:
    """A transaction is one work: a short one is over soon, whatever long ones do."""
    clock = SlowClock()
    inbox = Inbox(clock=clock)
    seconds: dict[str, float] = {}

    def begin(name: str, count: int) -> None:
        proven = ProvenOrigin(ServerName.parse(name), THEM.key.key_id)
        content: Json = {**NAMED, "pdus": [], "edus": [*map(edu, range(count))]}
        receiving = inbox.receiver.receive(proven, "1", content, OURSELVES)
        began = clock.rightNow

        def note(_: object) -> None:
            seconds[name] = clock.rightNow - began

        Deferred.fromCoroutine(receiving).addCallback(note)

    for number in range(8):
        begin(f"{number}.test", 100)
    clock.callLater(0.5, begin, "short.test", 10)
    while clock.getDelayedCalls():
        clock.advance(0)
    # A twentieth of their slices takes its turns: every other one, not one of nine.
    assert len(seconds) == 9
    assert seconds["short.test"] < seconds["0.test"] / 20


class TurnTests(SynchronousTestCase):
    """One transaction of an origin at a time."""

    def setUp(self) -> None:
        """Make a receiver whose work can be held up."""
        self.keys = SlowKeys(THEM, OTHERS)
        self.inbox = Inbox(self.keys)

    def _begin(self, txn_id: str, peer: Peer = THEM) -> Deferred[bytes]:
        # Another event each: one that is known is not verified again.
        pdu = message(peer=peer, content={"body": txn_id})
        return self.inbox.begin(txn_id, {"pdus": [pdu]}, peer)

    def test_one_at_a_time(self) -> None:
        """The next transaction of an origin is begun when the first one is done."""
        begun = [self._begin(txn_id) for txn_id in ("1", "2", "3")]
        for number, each in enumerate(begun):
            self.assertNoResult(each)
            self.assertEqual(len(self.keys.waiting), number + 1)
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)
        recorded = [each["txn_id"] for each in self.inbox.transactions]
        self.assertEqual(recorded, ["1", "2", "3"])

    def test_one_at_a_time_among_latecomers(self) -> None:
        """Whoever comes while another one waits, waits too."""
        begun = [self._begin("1"), self._begin("2")]
        self.keys.waiting[0].callback(None)
        self.successResultOf(begun[0])
        begun.append(self._begin("3"))
        self.assertEqual(len(self.keys.waiting), 2)
        self.keys.waiting[1].callback(None)
        self.successResultOf(begun[1])
        self.keys.waiting[2].callback(None)
        self.successResultOf(begun[2])
        self.assertEqual(self.inbox.turns._locks, {})

    def test_repeated_while_it_is_worked_on(self) -> None:
        """Repetitions that come too early wait, get the same reply, leave nothing."""
        first, *again = [self._begin("1") for _ in range(3)]
        for each in again:
            self.assertNoResult(each)
        self.keys.waiting[0].callback(None)
        reply = self.successResultOf(first)
        for each in again:
            self.assertEqual(self.successResultOf(each), reply)
        self.assertEqual(len(self.keys.waiting), 1)
        self.assertEqual(len(self.inbox.transactions), 1)
        self.assertEqual(self.inbox.turns._locks, {})

    def test_origins_are_independent(self) -> None:
        """No origin waits for another one."""
        first, other = self._begin("1"), self._begin("1", OTHERS)
        self.keys.waiting[1].callback(None)
        self.successResultOf(other)
        self.assertNoResult(first)
        self.keys.waiting[0].callback(None)
        self.successResultOf(first)

    def test_waits_half_a_minute(self) -> None:
        """A transaction whose turn does not come is refused for now.

        The two before it take twenty seconds each, as their keys are not to be had.
        """
        first, second, third = (self._begin(txn_id) for txn_id in "123")
        for _ in range(299):
            self.inbox.clock.advance(0.1)
        self.assertNoResult(third)
        self.inbox.clock.advance(0.2)
        problem = self.failureResultOf(third, LimitExceeded).value
        self.assertEqual((problem.status, problem.errcode), (429, "M_LIMIT_EXCEEDED"))
        self.successResultOf(first)
        self.assertNoResult(second)
        recorded = [each["txn_id"] for each in self.inbox.transactions]
        self.assertEqual(recorded, ["1"])
        self.inbox.clock.advance(20)
        self.successResultOf(second)

    def test_two_wait(self) -> None:
        """A third transaction that would wait is refused at once."""
        bound = self.inbox.turns.bound
        self.assertEqual((bound.use(), bound.limit), (0, 2))
        begun = [self._begin(txn_id) for txn_id in "1234"]
        self.failureResultOf(begun.pop(), LimitExceeded)
        self.assertEqual((bound.use(), bound.refusals), (2, 1))
        for number, each in enumerate(begun):
            self.assertNoResult(each)
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)

    def test_after_a_refusal(self) -> None:
        """A transaction that was refused for now is taken later."""
        begun = [self._begin(txn_id) for txn_id in "1234"]
        self.failureResultOf(begun.pop(), LimitExceeded)
        for number, each in enumerate(begun):
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)
        again = self._begin("4")
        self.keys.waiting[3].callback(None)
        self.successResultOf(again)

    def test_nothing_piles_up(self) -> None:
        """Of an origin that was served, or refused, nothing is kept in memory."""
        begun = [self._begin(txn_id) for txn_id in ("1", "1", "1", "2")]
        begun.append(self._begin("1", OTHERS))
        for _ in range(9):
            self.inbox.clock.advance(10)
        self.assertTrue(all(each.called for each in begun))
        for each in begun:
            each.addErrback(lambda _: None)
        self.assertEqual(self.inbox.turns._locks, {})
        self.assertEqual(self.inbox.clock.getDelayedCalls(), [])

    def test_turn_ends_with_an_error(self) -> None:
        """A transaction that is refused for its form blocks nobody."""
        contents: list[Json] = [{}, {"pdus": 5}]
        for content in contents:
            self.failureResultOf(self.inbox.begin("1", content), BadJson)
        self.assertEqual(self.inbox.turns._locks, {})
        self.successResultOf(self.inbox.begin("1", {"pdus": []}))
