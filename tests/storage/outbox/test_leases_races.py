"""Two processes at work on the queues of one PostgreSQL in the same moment."""

from collections.abc import Iterator
from threading import Thread
from typing import TypeVar

import pytest

from homeserver.protocol.canonical_json import parse_object
from homeserver.storage.engine import postgres as engine
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Job
from tests.support.endpoint_store import A, B, Endpoint, StoreTime, numbers
from tests.support.postgres_server import Server

_T = TypeVar("_T")


class HesitantDatabase(ImmediateDatabase):
    """A database whose writes are committed when the test says so."""

    is_hesitant = False
    _has_begun = False

    async def write(self, job: Job[_T]) -> _T:
        """Run a job; its transaction stays open."""
        if not self.is_hesitant:
            return await super().write(job)
        if not self._has_begun:
            self._has_begun = True
            self._connection.begin()
        return job(self._connection.cursor())

    def commit(self) -> None:
        """Commit what was written."""
        self._connection.commit()
        self.is_hesitant = self._has_begun = False


@pytest.fixture
def slow(postgres: Server) -> Iterator[tuple[HesitantDatabase, Endpoint, Endpoint]]:
    """A process that hesitates, with its database, and another one that does not."""
    url, time = postgres.new_store(), StoreTime()
    hesitant = HesitantDatabase(engine.connect(url))
    yield (
        hesitant,
        Endpoint(hesitant, time, "slow", is_shared=True),
        Endpoint(ImmediateDatabase(engine.connect(url)), time, "quick", is_shared=True),
    )


Processes = tuple[HesitantDatabase, Endpoint, Endpoint]


def test_claims_in_the_same_moment(slow: Processes) -> None:
    """Who claims does not wait for whom another is just claiming, and leaves it."""
    database, first, second = slow
    first.add(A, 1)
    first.time.advance(1)
    first.add(B, 2)
    database.is_hesitant = True
    [held] = first.lease(1)
    assert held.destination == A
    assert [each.destination for each in second.lease()] == [B]
    database.commit()
    assert second.lease() == []


def test_entry_that_is_not_committed_yet(slow: Processes) -> None:
    """A transaction is not cut beside somebody who is queueing for its destination."""
    database, first, second = slow
    second.add(A, 1)
    database.is_hesitant = True
    first.add(A, 2)
    assert second.lease() == []
    database.commit()
    [pending] = second.lease()
    assert numbers(pending) == [1, 2]


def test_order_of_entries(slow: Processes) -> None:
    """Who queues second gets a larger ID, and is committed later, however slow."""
    database, first, second = slow
    first.add(A, 0)
    database.is_hesitant = True
    before = first.add(A, 1)
    entries: list[int] = []
    queueing = Thread(target=lambda: entries.append(second.add(A, 2)))
    queueing.start()
    queueing.join(0.3)
    assert queueing.is_alive()
    database.commit()
    queueing.join(30)
    assert entries == [before + 1]
    [pending] = second.lease()
    assert numbers(pending) == [0, 1, 2]


def test_queueing_during_a_cut(slow: Processes) -> None:
    """What is queued while a transaction is cut is in the next one, and in one only."""
    database, first, second = slow
    first.add(A, 1)
    database.is_hesitant = True
    [pending] = first.lease()
    queueing = Thread(target=second.add, args=(A, 2))
    queueing.start()
    queueing.join(0.3)
    assert queueing.is_alive()
    database.commit()
    queueing.join(30)
    first.deliver(pending)
    [following] = second.lease()
    assert (numbers(pending), numbers(following)) == ([1], [2])
    assert second.summary(A)["queued"] == 1


def test_record_of_who_has_just_lost_its_lease(slow: Processes) -> None:
    """Who records while another takes over waits for that, and records nothing."""
    database, first, second = slow
    entry = second.add(A, 1)
    [pending] = second.lease()
    first.time.advance(60)
    database.is_hesitant = True
    [taken] = first.lease()
    recording = Thread(target=second.deliver, args=(pending,))
    recording.start()
    recording.join(0.3)
    assert recording.is_alive()
    database.commit()
    recording.join(30)
    assert second.state(A, entry)["state"] == "sending"
    assert second.fail(pending) is None
    first.deliver(taken)
    assert parse_object(taken.body) == parse_object(pending.body)
    assert second.find_summary(A) is None
