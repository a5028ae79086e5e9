"""What is queued is sent: in order, one at a time, each destination for itself."""

import gc
import tracemalloc

from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import TooLarge
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.manual_sender import ALPHA, BETA, EDU, NOW, US, SenderTestCase
from tests.support.memory_tls_servers import start


class DeliveryTests(SenderTestCase):
    """What is sent to which destination, and when the next transaction goes."""

    def test_transaction_is_one_of_ours(self) -> None:
        """A transaction has our name, the time in milliseconds and what was queued."""
        self.enqueue(pdus=2, edus=1)
        [call] = self.calls
        self.assertEqual(call.destination, ALPHA)
        self.assertEqual(
            parse_object(call.body),
            {
                "origin": US.name,
                "origin_server_ts": int(NOW * 1000),
                "pdus": [{"n": 0}, {"n": 1}],
                "edus": [EDU],
            },
        )

    def test_one_is_in_flight_for_each_destination(self) -> None:
        """What is queued while a transaction is in flight waits for its end."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.enqueue()
        self.enqueue()
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 1)

    def test_next_one_goes_after_delivery(self) -> None:
        """After an acknowledgement the next transaction goes, with another ID."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.enqueue(pdus=3)
        self.calls[0].acknowledge()
        first, second = self.calls
        self.assertEqual(len(second.pdus), 3)
        self.assertNotEqual(first.txn_id, second.txn_id)

    def test_one_commit_for_each_transaction(self) -> None:
        """Of a long queue, the next one is taken where the last one is recorded."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        for _ in range(20):
            self.enqueue(pdus=40)
        before = self.store.jobs
        for number in range(20):
            self.calls[number].acknowledge()
        self.assertEqual(len(self.calls), 21)
        self.assertEqual(self.store.jobs - before, 20)

    def test_destinations_are_independent(self) -> None:
        """A destination that fails or is slow keeps no other one waiting."""
        self.enqueue(ALPHA)
        self.calls[0].fail()
        self.enqueue(BETA)
        self.enqueue(ServerName.parse("slow.test"))
        self.enqueue(ServerName.parse("gamma.test"))
        self.assertEqual(
            [call.destination.name for call in self.calls],
            ["alpha.test", "beta.test", "slow.test", "gamma.test"],
        )

    def test_queued_during_the_last_look_is_sent(self) -> None:
        """What is queued while the queue is found to be empty is not forgotten."""
        self.store.clock = self.clock
        self.enqueue_slowly()
        for _ in range(10):
            self.clock.advance(0)
        self.calls[0].acknowledge()
        for moment in range(12):
            with self.subTest(moment):
                before = len(self.calls)
                for _ in range(moment):
                    self.clock.advance(0)
                self.enqueue_slowly()
                for _ in range(30):
                    self.clock.advance(0)
                self.assertEqual(len(self.calls), before + 1)
                self.calls[-1].acknowledge()

    def enqueue_slowly(self) -> None:
        """Queue one PDU without waiting for the store."""
        start(self.sender.enqueue(ALPHA, [{}], [])).addErrback(self.fail)


class LimitTests(SenderTestCase):
    """What is bounded."""

    def test_a_hundred_destinations_at_once(self) -> None:
        """The hundred and first destination waits until another one is done."""
        for number in range(103):
            self.enqueue(ServerName.parse(f"s{number}.test"))
        self.assertEqual(len(self.calls), 100)
        self.calls[0].acknowledge()
        self.assertEqual(len(self.calls), 101)
        self.calls[1].fail()
        self.assertEqual(len(self.calls), 102)

    def test_who_waits_costs_no_memory(self) -> None:
        """Of many destinations that are away, nothing is kept but in the store."""
        for number in range(300):
            self.enqueue(ServerName.parse(f"s{number}.test"))
            self.client.calls.pop().fail()
        self.assertEqual(len(self.sender._serving), 0)
        # One until somebody is due, one for the leases.
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)

    def test_what_waits_costs_no_memory(self) -> None:
        """However long a queue is, it is in the store, which is C and not counted."""
        self.enqueue()
        self.calls[0].fail()
        for _ in range(200):
            self.enqueue(pdus=0, edus=1)  # until all caches are full
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        sizes = []
        for count in (300, 1000):
            for _ in range(count):
                self.enqueue(pdus=0, edus=1)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        # Their numbers alone would be 40,000 bytes. The 20,000 that may be used are
        # of cursors, which the engine's module remembers for some time.
        self.assertLess(sizes[1] - sizes[0], 28_000)

    def test_exception_gives_its_slot_back(self) -> None:
        """A queue that an exception stopped takes no slot from the others."""
        for number in range(101):
            self.enqueue(ServerName.parse(f"s{number}.test"))
        self.calls[0].fail(ZeroDivisionError())
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(len(self.calls), 101)

    def test_too_much_for_one_transaction(self) -> None:
        """What does not fit into one transaction is refused and not queued."""
        half: Json = {"body": "x" * (MAX_TRANSACTION_BYTES // 2)}
        cases: list[tuple[list[Json], list[Json]]] = [
            ([{}] * 51, []),
            ([], [EDU] * 101),
            ([half, half], []),
            ([half], [half]),
        ]
        for pdus, edus in cases:
            failure = self.failureResultOf(
                start(self.sender.enqueue(ALPHA, pdus, edus)), TooLarge
            )
            self.assertIn(f"{len(pdus)} PDUs and {len(edus)} EDUs", str(failure.value))
        self.assertEqual(self.calls, [])

    def test_just_enough_for_one_transaction(self) -> None:
        """Fifty PDUs and a hundred EDUs are one transaction."""
        self.enqueue(pdus=50, edus=100)
        [call] = self.calls
        self.assertEqual((len(call.pdus), len(call.edus)), (50, 100))

    def test_store_that_is_full_is_said(self) -> None:
        """Queueing fails where the store cannot take it."""
        self.store.is_available = False
        self.failureResultOf(
            start(self.sender.enqueue(ALPHA, [], [])), StoreUnavailable
        )
