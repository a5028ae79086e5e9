"""What a sender does when a destination is heard that was away."""

from homeserver.outbound.remote_error import Refused
from tests.support.manual_sender import ALPHA, BETA, FIRST_RETRY, SenderTestCase


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
