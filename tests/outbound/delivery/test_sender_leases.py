"""Senders with one store: which of them sends to a destination."""

import sqlite3

from tests.support.manual_sender import Client, SenderTestCase
from tests.support.memory_tls_servers import start


class SharingTests(SenderTestCase):
    """Two processes with one store."""

    def setUp(self) -> None:
        """Start another sender beside the first."""
        super().setUp()
        self.successResultOf(start(self.sender.stop()))
        self.sender = self.make_sender(is_shared=True)
        self.successResultOf(start(self.sender.start()))
        self.own, self.client = self.client, Client()
        self.other = self.make_sender(is_shared=True)
        self.successResultOf(start(self.other.start()))

    def test_lease_outlives_an_error_of_ours(self) -> None:
        """A renewal that fails is told, and the next one comes in time."""
        self.enqueue()
        self.store.execute(
            "CREATE TRIGGER fail BEFORE UPDATE ON destinations"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        self.clock.pump([1] * 6)
        self.store.execute("DROP TRIGGER fail")
        self.assertTrue(self.flushLoggedErrors(sqlite3.IntegrityError))
        self.clock.pump([1] * 100)
        self.assertEqual((len(self.own.calls), len(self.calls)), (1, 0))

    def test_who_dies_is_replaced(self) -> None:
        """Within thirty seconds, with the same ID and the same bytes."""
        entry = self.enqueue()
        [before] = self.own.calls
        # As if its process were gone: it renews nothing, and looks for nothing.
        self.sender._renewing.stop()
        self.sender._is_running = False
        self.clock.pump([1] * 30)
        [after] = self.calls
        self.assertEqual((after.txn_id, after.body), (before.txn_id, before.body))
        after.acknowledge()
        self.assertEqual(self.state(entry)["state"], "delivered")

    def test_what_another_one_queues(self) -> None:
        """A destination whose queue grows elsewhere is served within a second."""
        for call in self.own.calls:
            call.acknowledge()
        self.sender._is_running = False
        self.enqueue()
        self.assertEqual(self.calls, [])
        self.clock.pump([0.5] * 3)
        self.assertEqual(len(self.calls), 1)
