"""Keys that were read a moment ago are not read from the database again."""

from typing import TypeVar

from twisted.internet.defer import Deferred

from homeserver.keys.keyring import Keyring
from homeserver.storage.engine.interface import Job
from homeserver.storage.peers import PeerStore
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    NOW,
    OWN,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

_T = TypeVar("_T")


class CountingDatabase(MemoryDatabase):
    """A database that counts what it is asked."""

    reads = 0

    async def read(self, job: Job[_T]) -> _T:
        """As `MemoryDatabase`, counted."""
        self.reads += 1
        return await super().read(job)


class MemoryTests(KeyringCase):
    """Keys that are asked for again."""

    def setUp(self) -> None:
        """Count what the database is asked."""
        super().setUp()
        self.counting = CountingDatabase()
        self.peers = PeerStore(self.counting, OUR_NAME, self.clock)
        self.keyring = Keyring(
            lambda: self.identity, self.peers, self.client, self.clock, self.limits
        )

    def test_a_second_request_reads_nothing(self) -> None:
        """Keys that were read a moment ago are not read from the database again."""
        self.store(document(K1, K2))
        self.successResultOf(self.ask(K1))
        self.assertEqual(self.counting.reads, 1)
        self.clock.advance(59.5)
        self.successResultOf(self.ask(K2))
        self.assertEqual(self.counting.reads, 1)
        self.clock.advance(0.5)
        self.successResultOf(self.ask(K1))
        self.assertEqual(self.counting.reads, 2)

    def test_our_own_keys_are_not_read(self) -> None:
        """Our own keys are known without the database."""
        self.successResultOf(self.ask(K1, OWN))
        self.assertEqual(self.counting.reads, 0)

    def test_servers_are_remembered_each_alone(self) -> None:
        """What is remembered of one server is not taken for another's."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        self.assertNoResult(self.ask(K1, B))
        self.assertEqual(self.counting.reads, 2)

    def test_a_forgotten_peer_is_not_remembered(self) -> None:
        """Keys of a peer that was forgotten verify nothing from that moment on."""
        self.store(document(K1))
        self.successResultOf(self.ask())
        self.successResultOf(Deferred.fromCoroutine(self.peers.forget(A)))
        asked = self.ask()
        self.assertNoResult(asked)
        self.client.answer(UNREACHABLE)
        self.assertIn("no usable key ed25519:1", self.refusal(asked))

    def test_what_is_recorded_is_known_at_once(self) -> None:
        """A key that its server has given up verifies nothing from that moment on."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        self.store(document(K2, old=[(K1, NOW - HOUR)]))
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        asked = self.ask(K1)
        self.client.answer(UNREACHABLE)
        self.assertIn(f"it expired at {NOW - HOUR}", self.refusal(asked))

    def test_what_another_process_records_is_known_in_a_minute(self) -> None:
        """Keys that another process wrote are there when what is remembered is over."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        other = PeerStore(self.counting, OUR_NAME, self.clock)
        recording = other.record_keys(document(K1, K2), NOW)
        self.successResultOf(Deferred.fromCoroutine(recording))
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        self.assertEqual(self.client.asked, [])
