"""One transaction of an origin at a time, also beside other processes."""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.inbound.turns import Turns
from homeserver.net.cooperate import Pace
from homeserver.protocol.errors import LimitExceeded
from homeserver.protocol.identifiers import ServerName
from tests.support.our_names import OUR_NAME

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
