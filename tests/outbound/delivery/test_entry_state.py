"""What is told of an entry of the queue, and for how long a caller may wait for it."""

from homeserver.protocol.canonical_json import Json
from tests.support.manual_sender import ALPHA, FIRST_RETRY, SenderTestCase, link
from tests.support.memory_tls_servers import start


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
