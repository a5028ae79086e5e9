"""What destinations that do not answer cost the others."""

from homeserver.outbound.delivery import slots
from homeserver.protocol.identifiers import ServerName
from tests.support.manual_sender import ALPHA, BETA, FIRST_RETRY, SenderTestCase


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
