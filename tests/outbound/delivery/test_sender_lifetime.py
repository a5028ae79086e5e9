"""How a sender starts and stops, and what it leaves when its server is removed."""

from collections.abc import Collection
from random import Random

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import Leased
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.manual_sender import ALPHA, BETA, NOW, US, SenderTestCase
from tests.support.memory_tls_servers import start


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
