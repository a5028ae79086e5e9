"""What becomes of back-offs and leases when the clock is set."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.support.manual_sender import MAX_RETRY, NOW, SenderTestCase
from tests.support.memory_tls_servers import start


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
