"""When refusals are recorded, and how many wait for it.

One write is under way at a time; what could not be recorded is tried again. A flood of
refusals to one server hides no refusal of another one.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.request import Request
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.refusals import Refusals
from homeserver.net.exchange import Exchange
from homeserver.protocol.errors import BadJson
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.refusals import Refusal, RefusalStore
from tests.support.federation_side import SEND, Endpoint
from tests.support.http_connection import ask
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import THEM, US


class SharedQueueTests(SynchronousTestCase):
    """Two servers of ours whose refusals wait in one queue."""

    def setUp(self) -> None:
        """Let them share it."""
        self.clock = Clock()
        self.queue = RefusalQueue(self.clock)
        database = MemoryDatabase()
        self.flooded, self.other = (
            Refusals(RefusalStore(database, name), self.queue, self.clock)
            for name in (US, THEM.server_name)
        )

    def refuse(self, refusals: Refusals, times: int) -> None:
        """Let a server refuse requests."""
        for _ in range(times):
            request = SimpleNamespace(exchange=Exchange(), method=b"PUT", uri=b"/")
            refusals.record(cast("Request", request), BadJson("bad"))

    def ids(self, refusals: Refusals) -> list[int]:
        """What a server has recorded."""
        listing = Deferred.fromCoroutine(refusals.after(0, None, 1000, 0))
        return [each.id for each in self.successResultOf(listing)]

    def test_flood(self) -> None:
        """A flood to one server hides no refusal of another one."""
        self.refuse(self.flooded, 400)
        self.refuse(self.other, 3)
        self.clock.advance(0.25)
        self.assertEqual(len(self.ids(self.other)), 3)
        self.assertEqual(len(self.ids(self.flooded)), 250)
        self.assertEqual(self.queue.bound.use(), 0)

    def test_floods(self) -> None:
        """Floods to both hold no more than twice what one may hold."""
        self.refuse(self.flooded, 400)
        self.refuse(self.other, 400)
        self.assertLessEqual(self.queue.bound.use(), 500)


class SlowStore(RefusalStore):
    """A store of refusals that takes its time, and may fail."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(), OUR_NAME)
        self.recording: list[Deferred[None]] = []
        """What each write waits for."""

    async def record(self, refusals: Sequence[Refusal]) -> None:
        """Record, once the test lets it."""
        self.recording.append(Deferred())
        await self.recording[-1]
        await super().record(refusals)


class RecordingTests(SynchronousTestCase):
    """When refusals are recorded."""

    def setUp(self) -> None:
        """Make an endpoint whose store is slow."""
        self.store = SlowStore()
        self.endpoint = Endpoint(refusals=self.store)
        self.refusals = self.endpoint.refusals

    def refuse(self) -> None:
        """Refuse a request."""
        ask(self.endpoint.site, "PUT", SEND, [], b"{")

    def ids(self) -> list[object]:
        """The IDs of those that are recorded."""
        looking = Deferred.fromCoroutine(self.store.after(0, None, 99))
        return [each.id for each in self.successResultOf(looking)]

    def read(self) -> Deferred[list[int]]:
        """Ask for those that were refused, as an operator does."""

        async def read() -> list[int]:
            return [each.id for each in await self.refusals.after(0, None, 99, 0)]

        return Deferred.fromCoroutine(read())

    def advance(self) -> None:
        """Let the time pass after which they are recorded."""
        self.endpoint.clock.advance(0.25)

    def test_one_write_at_a_time(self) -> None:
        """What is refused during a write is in the next one, and nothing twice."""
        self.refuse()
        self.advance()
        self.refuse()
        self.advance()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.assertEqual(self.ids(), [1])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1, 2])
        self.advance()
        self.assertEqual(len(self.store.recording), 2)

    def test_a_store_that_fails(self) -> None:
        """What could not be recorded is tried again."""
        self.refuse()
        self.advance()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.assertEqual(self.ids(), [])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1])

    def test_read_at_once(self) -> None:
        """Who reads has what was refused before, and all readers by one write."""
        for _ in range(3):
            self.refuse()
        reading, other = self.read(), self.read()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        for each in (reading, other):
            self.assertEqual(self.successResultOf(each), [1, 2, 3])
        self.advance()
        self.assertEqual(len(self.store.recording), 1)

    def test_read_during_a_write(self) -> None:
        """What the write under way has not got is in the next one, begun after it."""
        self.refuse()
        self.advance()
        self.refuse()
        reading, other = self.read(), self.read()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.assertEqual(len(self.store.recording), 2)
        self.assertNoResult(reading)
        self.store.recording[1].callback(None)
        for each in (reading, other):
            self.assertEqual(self.successResultOf(each), [1, 2])

    def test_read_of_a_store_that_fails(self) -> None:
        """Who reads gets what there is, and nothing is lost."""
        self.refuse()
        reading = self.read()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.assertEqual(self.successResultOf(reading), [])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1])

    def test_read_of_a_store_that_hangs(self) -> None:
        """Who reads waits for a second, and the write goes on."""
        self.refuse()
        reading = self.read()
        self.endpoint.clock.advance(0.9)
        self.assertNoResult(reading)
        self.endpoint.clock.advance(0.1)
        self.assertEqual(self.successResultOf(reading), [])
        self.store.recording[0].callback(None)
        self.assertEqual(self.ids(), [1])
        self.assertEqual(len(self.store.recording), 1)

    def stop(self) -> Deferred[None]:
        """Stop it."""
        return Deferred.fromCoroutine(self.endpoint.waiting_refusals.stop())

    def test_stop_records(self) -> None:
        """At the end, what waits is recorded at once, after what is under way."""
        self.refuse()
        self.advance()
        self.refuse()
        stopping = self.stop()
        self.store.recording[0].callback(None)
        self.assertNoResult(stopping)
        self.store.recording[1].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.ids(), [1, 2])
        self.advance()
        self.assertEqual(len(self.store.recording), 2)

    def test_stop_without_a_store(self) -> None:
        """At the end, nothing is tried again."""
        self.refuse()
        stopping = self.stop()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.successResultOf(stopping)
        self.advance()
        self.assertEqual(len(self.store.recording), 1)

    def test_stop_before_the_next_write(self) -> None:
        """At the end, what waits for the next write is recorded once."""
        self.refuse()
        stopping = self.stop()
        self.advance()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.ids(), [1])

    def test_stop_with_nothing(self) -> None:
        """Where nothing was refused, nothing is recorded."""
        self.successResultOf(self.stop())
        self.assertEqual(self.store.recording, [])
