"""What is owed is sent: in order, once at a time, again until it was acknowledged."""

import gc
import sqlite3
import tracemalloc
from collections.abc import Collection
from random import Random

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from homeserver.outbound.delivery import slots
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import TooLarge
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import RENEWAL_SECONDS, Leased
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.manual_sender import (
    ALPHA,
    BETA,
    EDU,
    FIRST_RETRY,
    MAX_RETRY,
    NOW,
    US,
    Client,
    SenderTestCase,
    link,
)
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


class LifetimeTests(SenderTestCase):
    """Starting and stopping."""

    def test_nothing_goes_before_the_start(self) -> None:
        """What is queued before the start is kept until then."""
        self.sender = self.make_sender()
        self.enqueue()
        self.clock.advance(60)
        self.assertEqual(self.calls, [])
        self.successResultOf(start(self.sender.start()))
        self.assertEqual(len(self.calls), 1)

    def test_start_takes_up_what_is_owed(self) -> None:
        """A sender that starts sends what waits, and what was cut, to all."""
        self.enqueue(ALPHA)
        self.calls[0].fail()
        self.successResultOf(start(self.sender.stop()))
        self.enqueue(BETA)
        self.assertEqual(len(self.calls), 1)
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.clock.advance(1)
        self.assertEqual(
            sorted(call.destination.name for call in self.calls[1:]),
            ["alpha.test", "beta.test"],
        )

    def test_start_takes_its_time(self) -> None:
        """After a start, fifty destinations a second are tried, in no order."""
        self.successResultOf(start(self.sender.stop()))
        names = [f"s{number:03}.test" for number in range(80)]
        for name in names:
            self.enqueue(ServerName.parse(name))
        self.sender = self.make_sender(Random(1))
        self.successResultOf(start(self.sender.start()))
        self.assertEqual(len(self.calls), 1)
        self.clock.pump([0.01] * 100)
        self.assertIn(len(self.calls), range(50, 52))
        self.clock.pump([0.01] * 100)
        tried = [call.destination.name for call in self.calls]
        self.assertEqual(sorted(tried), names)
        self.assertNotEqual(tried, names)

    def test_what_is_new_does_not_wait_for_the_others(self) -> None:
        """Whatever is taken up after a start, what is queued then goes at once."""
        self.successResultOf(start(self.sender.stop()))
        for number in range(50):
            self.enqueue(ServerName.parse(f"s{number}.test"))
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.enqueue(ALPHA)
        self.assertEqual(self.calls[-1].destination, ALPHA)

    def test_start_needs_the_store(self) -> None:
        """A sender whose store cannot be read does not start."""
        sender = self.make_sender()
        self.store.is_available = False
        self.failureResultOf(start(sender.start()), StoreUnavailable)

    def test_stop_waits_for_what_is_in_flight(self) -> None:
        """The sender has stopped once what is in flight is over and recorded."""
        entry = self.enqueue()
        self.enqueue()
        [call] = self.calls
        stopping = start(self.sender.stop())
        self.assertNoResult(stopping)
        call.acknowledge()
        self.successResultOf(stopping)
        self.assertEqual(self.state(entry)["state"], "delivered")

    def test_stop_waits_for_a_failure(self) -> None:
        """The sender has stopped once a failure is recorded, and waits no back-off."""
        self.enqueue()
        [call] = self.calls
        stopping = start(self.sender.stop())
        call.fail()
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_begins_after_a_stop(self) -> None:
        """Neither a next transaction, nor a retry, nor what is new begins any more."""
        self.enqueue(ALPHA)
        self.calls[0].fail()
        self.enqueue(BETA)
        in_flight = self.calls[1]
        self.enqueue(BETA)
        stopping = start(self.sender.stop())
        in_flight.acknowledge()
        self.successResultOf(stopping)
        self.enqueue(ServerName.parse("gamma.test"))
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 2)

    def test_stop_while_looking(self) -> None:
        """What is found to be due while the sender stops is not sent, and not held."""
        self.enqueue()
        self.calls[0].fail()
        self.store.clock = self.clock
        self.store.execute("UPDATE destinations SET due_ts = 0")
        self.sender.wake()
        stopping = start(self.sender.stop())
        self.assertNoResult(stopping)
        self.clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual(len(self.client.calls), 1)
        held = self.store.execute("SELECT holder FROM destinations")
        self.assertEqual(held, [(None,)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_recording(self) -> None:
        """What was taken in the same moment is not sent, and not held."""
        entry = self.enqueue()
        [call] = self.calls
        self.enqueue()
        self.store.clock = self.clock
        call.acknowledge()
        stopping = start(self.sender.stop())
        self.clock.pump([0] * 5)
        self.successResultOf(stopping)
        self.assertEqual(len(self.client.calls), 1)
        rows = self.store.execute("SELECT queued, holder, due_ts FROM destinations")
        self.assertEqual(rows, [(1, None, int(NOW * 1000))])
        self.store.clock = None
        self.assertEqual(self.state(entry)["state"], "delivered")

    def test_stop_where_the_store_fails(self) -> None:
        """What cannot be given back is left to its lease, and the sender stops."""
        self.enqueue()
        [call] = self.calls
        self.enqueue()
        self.store.clock = self.clock
        call.acknowledge()
        stopping = start(self.sender.stop())
        self.store.is_available = False
        self.clock.pump([0] * 5)
        self.successResultOf(stopping)
        self.assertEqual(len(self.client.calls), 1)

    def test_stop_before_the_start(self) -> None:
        """A sender that was never started is stopped at once."""
        self.successResultOf(start(self.make_sender().stop()))

    def test_leases_are_renewed_until_the_end(self) -> None:
        """What is in flight is held, for however long it takes to stop."""
        self.enqueue()
        stopping = start(self.sender.stop())
        other = self.make_sender(is_shared=True)
        self.successResultOf(start(other.start()))
        self.clock.pump([1] * 100)
        self.assertEqual(len(self.calls), 1)
        self.calls[0].acknowledge()
        self.successResultOf(stopping)


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


class SignOfLifeTests(SenderTestCase):
    """What happens when a server is heard that was away."""

    def fail_often(self) -> None:
        """Let a destination be in a long back-off."""
        self.enqueue()
        for _ in range(5):
            self.calls[-1].fail()
            self.clock.pump([1] * 33)
        self.calls[-1].fail()
        self.assertEqual(len(self.calls), 6)

    def test_it_is_tried_soon(self) -> None:
        """A server that sends requests is up: it is tried after the first pause."""
        self.fail_often()
        self.sender.note_alive(ALPHA)
        self.clock.advance(FIRST_RETRY - 0.01)
        self.assertEqual(len(self.calls), 6)
        self.clock.advance(0.01)
        self.assertEqual(len(self.calls), 7)

    def test_who_wants_to_be_left_alone(self) -> None:
        """What it asks us does not shorten the pause that it asked for."""
        self.enqueue()
        busy = Refused(ALPHA, 429, "M_LIMIT_EXCEEDED", "", retry_after=30)
        self.calls[0].fail(busy)
        self.sender.note_alive(ALPHA)
        self.clock.pump([0.5] * 59)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(0.5)
        self.assertEqual(len(self.calls), 2)

    def test_it_is_cheap(self) -> None:
        """A thousand requests of a server cost one look into the store."""
        self.store.is_available = True
        before = self.store.jobs
        for _ in range(1000):
            self.sender.note_alive(BETA)
        self.assertEqual(self.store.jobs, before + 1)
        self.clock.advance(1)
        self.sender.note_alive(BETA)
        self.assertEqual(self.store.jobs, before + 2)

    def test_store_that_is_away(self) -> None:
        """Where the store does not answer, nothing happens, and it is asked again."""
        self.fail_often()
        self.store.is_available = False
        self.sender.note_alive(ALPHA)
        self.store.is_available = True
        self.sender.note_alive(ALPHA)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.calls), 7)


class StaleTests(SenderTestCase):
    """Which entries may be dropped after an hour."""

    def dropped(self, pdus: int, *kinds: str) -> bool:
        """Whether an entry of that many PDUs and of EDUs of these types is dropped."""
        self.successResultOf(start(self.sender.stop()))
        edus: list[Json] = [{"edu_type": kind, "content": {}} for kind in kinds]
        entry = self.successResultOf(
            start(self.sender.enqueue(ALPHA, [{}] * pdus, edus))
        )
        self.clock.advance(3600)
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.clock.advance(1)
        return self.state(entry)["state"] == "dropped"

    def test_what_means_nothing_any_more(self) -> None:
        """Typing and presence are dropped."""
        for kinds in (["m.typing"], ["m.presence"], ["m.presence", "m.typing"]):
            self.assertTrue(self.dropped(0, *kinds), kinds)
        self.assertEqual(self.calls, [])

    def test_what_has_to_arrive(self) -> None:
        """PDUs and all other EDUs are sent, with what stands beside them."""
        for pdus, *kinds in (
            (1, "m.typing"),
            (0, "m.typing", "m.receipt"),
            (0, "m.direct_to_device"),
            (0, "m.device_list_update"),
            (0, "x.unknown"),
            (0,),
        ):
            self.assertFalse(self.dropped(int(pdus), *map(str, kinds)), kinds)
            self.calls[-1].acknowledge()
        self.assertEqual(len(self.calls), 6)


class StateTests(SenderTestCase):
    """What is told of an entry."""

    def test_sending_again(self) -> None:
        """While it is tried again, an entry says what went wrong, and no next time."""
        entry = self.enqueue()
        self.calls[0].fail()
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.calls), 2)
        state = self.state(entry)
        self.assertEqual(
            (state["state"], state["attempts"], state["next_attempt_ts"]),
            ("sending", 1, None),
        )
        self.assertEqual(
            state["error"], "alpha.test cannot be reached: s.test:8448: cannot connect"
        )

    def test_delivered(self) -> None:
        """A delivered entry has the reply and the connection, and no error any more."""
        entry = self.enqueue()
        self.calls[0].fail()
        self.clock.advance(FIRST_RETRY)
        self.calls[1].acknowledge({"pdus": {}})
        state = self.state(entry)
        self.assertEqual((state["state"], state["error"]), ("delivered", None))
        self.assertEqual(
            state["remarks"],
            [{"code": "reply_missing_event", "text": "the reply does not name PDU 0"}],
        )
        self.assertEqual(
            state["connection"],
            {
                "route": "s.test:8448",
                "address": "192.0.2.1",
                "verified_by": "certificate",
                "certificate_sha256": link(ALPHA).peer.certificate_sha256,
            },
        )

    def test_any_reply_can_be_recorded(self) -> None:
        """Whatever JSON a peer replies, the delivery is recorded with it."""
        replies: list[Json] = [{"a": 2**64 - 1, "b": 1.5}, {"é": ["x" * 1000]}, {}]
        for reply in replies:
            entry = self.enqueue()
            self.calls[-1].acknowledge(reply)
            self.assertEqual(self.state(entry)["reply"], reply)

    def test_waiting_ends_with_the_delivery(self) -> None:
        """Waiting for an entry ends as soon as it is delivered, not before."""
        entry = self.enqueue()
        waiting = start(self.sender.state(ALPHA, entry, 60))
        self.calls[0].fail()
        self.assertNoResult(waiting)
        self.clock.advance(FIRST_RETRY)
        self.calls[1].acknowledge()
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state.state, "delivered")

    def test_waiting_ends_in_time(self) -> None:
        """Waiting for an entry ends with its state when the time is over."""
        entry = self.enqueue()
        self.assertEqual(len(self.calls), 1)
        waiting = start(self.sender.state(ALPHA, entry, 5))
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state.state, "sending")


class HangingTests(SenderTestCase):
    """What destinations that do not answer cost the others."""

    def enqueue_many(self, number: int) -> None:
        """Queue something for so many destinations, each of another domain."""
        for each in range(number):
            self.enqueue(ServerName.parse(f"s.s{each}"))

    @property
    def use(self) -> list[int]:
        """How many destinations are in each class of slots."""
        return [bound.use() for bound in self.sender.bounds]

    def test_a_second_for_each_hundred(self) -> None:
        """What waits for a slot gets one when the others have had theirs a second."""
        self.enqueue_many(100)
        self.enqueue(ALPHA)
        self.assertEqual(len(self.calls), 100)
        self.clock.advance(0.99)
        self.assertEqual(len(self.calls), 100)
        self.clock.advance(0.01)
        self.assertEqual(self.calls[-1].destination, ALPHA)
        self.assertEqual(self.use, [1, 100])
        self.calls[0].acknowledge()
        self.assertEqual(self.use, [1, 99])

    def test_destination_that_answers_keeps_its_slot(self) -> None:
        """With each transaction that is answered, the second begins anew."""
        self.enqueue(BETA)
        self.assertEqual(len(self.calls), 1)
        self.enqueue(BETA)
        self.enqueue_many(98)
        self.clock.advance(0.5)
        self.calls[0].acknowledge()
        self.enqueue(ServerName.parse("late.test"))
        self.enqueue(ALPHA)
        self.clock.advance(0.5)
        self.assertEqual(self.use, [3, 98])

    def test_one_network(self) -> None:
        """Of those that are reached in one network, no more than a share hold slots."""
        self.client.address = "198.51.100.7"
        self.enqueue_many(130)
        self.assertEqual(len(self.calls), 130)
        self.assertEqual(self.use, [20, 110])

    def test_failing_destinations(self) -> None:
        """Those that failed last time have half of the slots, and others the rest."""
        self.enqueue_many(60)
        for call in self.calls[:]:
            call.fail()
        before = len(self.calls)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.calls) - before, 50)
        self.enqueue(ALPHA)
        self.assertEqual(self.calls[-1].destination, ALPHA)
        self.clock.advance(1)
        self.assertEqual(len(self.calls) - before, 61)

    def test_too_many(self) -> None:
        """Of too many that hang the oldest is cut off, and tried again as any other."""
        self.patch(slots, "MAX_SECOND", 100)
        entry = self.enqueue(ALPHA)
        self.enqueue_many(99)
        self.clock.advance(1)
        self.assertEqual(self.use, [0, 100])
        self.assertEqual(self.attempts, [])
        for number in range(99, 199):
            self.enqueue(ServerName.parse(f"s.s{number}"))
        self.clock.advance(1)
        state = self.state(entry)
        self.assertEqual((state["state"], state["attempts"]), ("queued", 1))
        self.assertEqual(state["error"], "no answer, like too many other attempts")
        self.assertEqual({each.result for each in self.attempts}, {"aborted"})
        self.assertEqual(self.sender.bounds[1].refusals, 100)


class LeaveTests(SenderTestCase):
    """What becomes of the queues of a server that is removed."""

    def test_attempt_is_aborted(self) -> None:
        """Its attempt ends, and the entry stays queued."""
        entry = self.enqueue()
        [call] = self.calls
        self.sender.is_served = False
        self.successResultOf(start(self.sender.leave(US)))
        self.assertTrue(call.result.called)
        state = self.state(entry)
        self.assertEqual((state["state"], state["attempts"]), ("queued", 1))
        self.assertEqual(state["error"], "its server was removed")

    def test_others_go_on(self) -> None:
        """The attempts of another server are not touched."""
        self.enqueue()
        [call] = self.calls
        self.successResultOf(start(self.sender.leave(BETA)))
        self.assertFalse(call.result.called)

    def test_leased_in_that_moment(self) -> None:
        """What was leased while it was removed is released, and not sent."""
        leases = self.sender._leases
        lease = leases.lease

        async def lease_and_remove(
            quota: Quota, serving: Collection[QueueId]
        ) -> Leased:
            leased = await lease(quota, serving)
            self.sender.is_served = False
            self.patch(leases, "lease", lambda *_: lease(Quota(0, 0), serving))
            return leased

        self.patch(leases, "lease", lease_and_remove)
        self.enqueue()
        self.assertEqual(self.client.calls, [])
        [row] = self.store.execute("SELECT holder FROM destinations")
        self.assertEqual(row[0], None)


class DropTests(SenderTestCase):
    """What an operator gives up."""

    def drop(self, entry: int, destination: ServerName = ALPHA) -> int | None:
        """Give up an entry; how many went with it."""
        return self.successResultOf(start(self.sender.drop(destination, entry)))

    def test_under_way(self) -> None:
        """What is under way is cut off before the answer, and the next one goes."""
        entry = self.enqueue(pdus=1)
        [first] = self.calls
        self.enqueue(pdus=2)
        self.assertEqual(self.drop(entry), 1)
        self.assertTrue(first.result.called)
        self.assertEqual(self.state(entry)["state"], "dropped")
        second = self.calls[1]
        self.assertEqual(len(second.pdus), 2)
        self.assertEqual([each.result for each in self.attempts], ["aborted"])
        second.acknowledge()
        self.assertEqual(self.state(entry)["attempts"], 0)

    def test_between_two_forms_of_the_path(self) -> None:
        """A dropped transaction is not tried in the other form of the path."""
        entry = self.enqueue()
        self.calls[0].fail(Refused(ALPHA, 400, None, ""))
        self.assertEqual(self.calls[1].slash, True)
        self.drop(entry)
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 2)

    def test_who_waits_is_told(self) -> None:
        """Waiting for a delivery ends when it is given up."""
        entry = self.enqueue()
        waiting = start(self.sender.state(ALPHA, entry, 60))
        self.drop(entry)
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state.state, "dropped")

    def test_all(self) -> None:
        """All that is queued for a destination is given up, and nothing of another."""
        entries = [self.enqueue() for _ in range(3)]
        other = self.enqueue(BETA)
        dropped = self.successResultOf(start(self.sender.drop_all(ALPHA)))
        self.assertEqual(dropped, 3)
        self.assertEqual([self.state(e)["state"] for e in entries], ["dropped"] * 3)
        self.assertEqual(self.state(other, BETA)["state"], "sending")
        self.assertEqual(self.successResultOf(start(self.sender.drop_all(ALPHA))), 0)
        self.enqueue(pdus=4)
        self.assertEqual(len(self.calls[-1].pdus), 4)

    def test_drop_by_another_process(self) -> None:
        """What another process drops is cut off here when leases are renewed."""
        entry = self.enqueue(pdus=1)
        [call] = self.calls
        other = self.make_sender(is_shared=True)
        self.successResultOf(start(other.drop(ALPHA, entry)))
        self.assertFalse(call.result.called)
        self.clock.advance(RENEWAL_SECONDS)
        self.assertTrue(call.result.called)
        self.assertEqual(self.state(entry)["state"], "dropped")
        self.enqueue(pdus=2)
        self.assertEqual(len(self.calls[-1].pdus), 2)

    def test_another_transaction_is_not_cut_off(self) -> None:
        """What began after another one was dropped is not taken for that one."""
        self.enqueue()
        [call] = self.calls
        self.sender._attempts.abort(QueueId(US, ALPHA), "it was dropped", "another")
        self.sender._attempts.abort(QueueId(US, BETA), "it was dropped", call.txn_id)
        self.assertFalse(call.result.called)
        self.sender._attempts.abort(QueueId(US, ALPHA), "it was dropped", call.txn_id)
        self.assertTrue(call.result.called)

    def test_what_is_held_is_not_cut_off(self) -> None:
        """A request that takes its time keeps its lease."""
        self.enqueue()
        [call] = self.calls
        self.clock.pump([RENEWAL_SECONDS] * 8)
        self.assertFalse(call.result.called)

    def test_store_that_fails(self) -> None:
        """Where the store fails, nothing is given up and nothing cut off."""
        entry = self.enqueue()
        [call] = self.calls
        self.store.is_available = False
        self.failureResultOf(start(self.sender.drop(ALPHA, entry)), StoreUnavailable)
        self.store.is_available = True
        self.assertFalse(call.result.called)


class Machine(Clock):
    """A clock whose time to wait by, and that of others, are two."""

    ahead = 0.0

    def wall_seconds(self) -> float:
        """The time that others have as well."""
        return self.seconds() + self.ahead


class ClockTests(SenderTestCase):
    """What becomes of back-offs when the clock is set."""

    def setUp(self) -> None:
        """Start the sender on a machine whose clock can be set."""
        self.machine = Machine()
        self.make_clock = lambda: self.machine
        super().setUp()

    def set_clock(self, seconds: float) -> None:
        """Set the clock, which is noticed."""
        self.machine.ahead += seconds
        with capturedLogs() as events:
            self.sender.adjust(seconds)
        self.told = [formatEvent(event) for event in events]

    def test_set_back(self) -> None:
        """After a day back, nothing waits for longer than the longest pause."""
        self.enqueue()
        self.calls[0].fail()
        self.set_clock(-86_400)
        self.assertEqual(self.told, ["the clock was set back by 86400 s"])
        self.clock.advance(0)
        [[due_ts]] = self.store.execute("SELECT due_ts FROM destinations")
        self.assertEqual(due_ts, int((NOW - 86_400 + MAX_RETRY) * 1000))
        self.clock.advance(MAX_RETRY - 0.01)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(0.02)
        self.assertEqual(len(self.calls), 2)

    def test_set_forward(self) -> None:
        """After a day forward, what waited is due."""
        self.enqueue()
        self.calls[0].fail()
        self.set_clock(86_400)
        self.assertEqual(self.told, ["the clock was set forward by 86400 s"])
        self.assertEqual(len(self.calls), 2)

    def test_start_after_the_clock_was_set_back(self) -> None:
        """What a process stored before the clock was set waits no longer at a start."""
        self.enqueue()
        self.calls[0].fail()
        self.successResultOf(start(self.sender.stop()))
        self.machine.ahead -= 86_400
        self.sender = self.make_sender(is_shared=True)
        self.successResultOf(start(self.sender.start()))
        self.assertEqual(len(self.calls), 2)

    def test_lease_of_who_died(self) -> None:
        """A lease that was stored before ends as soon as any other."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.store.execute("UPDATE destinations SET holder = 'who died'")
        self.machine.ahead -= 86_400
        other = self.make_sender(is_shared=True)
        self.successResultOf(start(other.start()))
        self.clock.pump([0.5] * 42)
        self.assertEqual(len(self.calls), 2)
