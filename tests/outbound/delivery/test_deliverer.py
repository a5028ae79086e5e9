"""What comes of an attempt: a delivery, another attempt later, or a no for ever."""

from random import Random

from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.manual_sender import (
    ALPHA,
    BETA,
    FIRST_RETRY,
    MAX_RETRY,
    SenderTestCase,
)
from tests.support.memory_tls_servers import start


class RetryTests(SenderTestCase):
    """What happens after a failure."""

    def fail_times(self, count: int) -> list[float]:
        """Let that many attempts fail; the pauses after each, in seconds."""
        pauses: list[float] = []
        while len(pauses) < count:
            before = len(self.calls)
            self.calls[-1].fail()
            failed = self.clock.seconds()
            while len(self.calls) == before:
                self.clock.advance(0.25)
            pauses.append(self.clock.seconds() - failed)
        return pauses

    def test_queueing_does_not_shorten_the_pause(self) -> None:
        """What is queued during a back-off does not end it."""
        self.enqueue()
        self.calls[0].fail()
        self.enqueue()
        self.clock.advance(FIRST_RETRY - 0.01)
        self.assertEqual(len(self.calls), 1)

    def test_pause_doubles_up_to_a_limit(self) -> None:
        """Each failure in a row doubles the pause, until it is the longest."""
        self.enqueue()
        self.assertEqual(
            self.fail_times(8), [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        )

    def test_jitter_is_within_a_fifth(self) -> None:
        """Pauses differ, by at most a fifth more or less."""
        self.sender = self.make_sender(Random(1))
        self.successResultOf(start(self.sender.start()))
        pauses: list[float] = []
        for number in range(50):
            destination = ServerName.parse(f"s{number}.test")
            entry = self.enqueue(destination)
            self.calls[-1].fail()
            next_ts = self.state(entry, destination)["next_attempt_ts"]
            assert isinstance(next_ts, int)
            pauses.append(next_ts / 1000 - self.clock.seconds())
        self.assertTrue(all(0.8 <= pause / FIRST_RETRY <= 1.2 for pause in pauses))
        self.assertLess(min(pauses), 0.9 * FIRST_RETRY)
        self.assertGreater(max(pauses), 1.1 * FIRST_RETRY)

    def test_retry_ends_the_pause(self) -> None:
        """A retry is made at once, and the next pause is a first one."""
        self.enqueue()
        self.fail_times(3)
        self.calls[-1].fail()
        self.successResultOf(start(self.sender.retry(ALPHA)))
        self.assertEqual(len(self.calls), 5)
        self.assertEqual(self.fail_times(1), [FIRST_RETRY])

    def test_unexpected_exception_stops_no_queue(self) -> None:
        """An unexpected exception is logged and recorded, and tried again."""
        entry = self.enqueue(ALPHA)
        self.calls[0].fail(ZeroDivisionError("a mistake"))
        [logged] = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(str(logged.value), "a mistake")
        self.assertIn("internal error", str(self.state(entry, ALPHA)["error"]))
        self.enqueue(BETA)
        self.assertEqual(self.calls[1].destination, BETA)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.calls[2].txn_id, self.calls[0].txn_id)

    def test_pause_ends_after_a_thousand_failures(self) -> None:
        """However often it failed, the pause is the longest one and no overflow."""
        self.enqueue()
        self.calls[0].fail()
        self.store.execute("UPDATE destinations SET failures = 9999")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.fail_times(1), [MAX_RETRY])


class RefusalTests(SenderTestCase):
    """What becomes of a transaction that is answered with a no."""

    def refuse(self, status: int, retry_after: float = 0.0) -> None:
        """Let the last call be answered so."""
        reply: Json = {"errcode": "M_X", "error": "no"}
        self.calls[-1].fail(
            Refused(ALPHA, status, "M_X", "no", reply=reply, retry_after=retry_after)
        )

    def test_what_may_be_taken_later(self) -> None:
        """After any other no, the same bytes go again under the same ID."""
        for status in (301, 401, 403, 404, 409, 429, 500, 502, 503, 504):
            with self.subTest(status):
                entry = self.enqueue()
                first = self.calls[-1]
                self.refuse(status)
                self.assertEqual(self.state(entry)["state"], "queued")
                self.clock.advance(FIRST_RETRY)
                again = self.calls[-1]
                self.assertIsNot(again, first)
                self.assertEqual((first.txn_id, first.body), (again.txn_id, again.body))
                again.acknowledge()

    def test_what_is_never_taken(self) -> None:
        """After a 400 or 413 it is told and rejected, and the next one goes."""
        for status in (400, 413):
            with self.subTest(status):
                entry = self.enqueue(pdus=1)
                first = self.calls[-1]
                self.enqueue(pdus=2)
                self.refuse(status)
                second = self.calls[-1]
                self.assertEqual(len(second.pdus), 2)
                second.acknowledge()
                before = len(self.calls)
                self.clock.advance(3600)
                self.assertEqual(len(self.calls), before)
                self.assertEqual(
                    self.state(entry),
                    {
                        "id": entry,
                        "state": "rejected",
                        "txn_id": first.txn_id,
                        "attempts": 1,
                        "next_attempt_ts": None,
                        "error": f"alpha.test answers {status} M_X: no",
                        "reply": {"errcode": "M_X", "error": "no"},
                        "remarks": [],
                        "dropped_ts": None,
                        "dropped_by": None,
                        "connection": None,
                    },
                )

    def test_body_of_what_is_never_taken(self) -> None:
        """A transaction that was rejected is kept whole; its entries are not."""
        self.enqueue()
        body = self.calls[0].body
        self.refuse(413)
        kept = self.store.execute("SELECT body FROM outbound_transactions")
        self.assertEqual(kept, [(body,)])
        self.assertEqual(
            self.store.execute("SELECT pdus FROM outbound_entries"), [("",)]
        )

    def test_who_waits_is_told(self) -> None:
        """Waiting for a delivery ends with its rejection when that comes."""
        entry = self.enqueue()
        waiting = start(self.sender.state(ALPHA, entry, 60))
        self.refuse(400)
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state.state, "rejected")

    def test_refusal_ends_a_back_off(self) -> None:
        """A server that answers 400 is up: the next failure is a first one."""
        self.enqueue()
        self.calls[0].fail()
        self.clock.advance(FIRST_RETRY)
        self.refuse(400)
        self.enqueue()
        self.calls[-1].fail()
        self.assertEqual(self.pause(), FIRST_RETRY)

    def test_longer_pause_that_is_wanted(self) -> None:
        """A busy server gets the pause that it asks for, if that is longer."""
        for wanted, pause in [(0.0, 2.0), (1.0, 2.0), (7.5, 7.5), (9e9, MAX_RETRY)]:
            with self.subTest(wanted):
                self.enqueue()
                self.refuse(429, wanted)
                self.assertEqual(self.pause(), pause)
                self.clock.advance(pause)
                self.calls[-1].acknowledge()

    def pause(self) -> float:
        """In how many seconds the next attempt is due."""
        [[due_ts]] = self.store.execute("SELECT due_ts FROM destinations")
        return float(due_ts) / 1000 - self.clock.seconds()


class UnavailableStoreTests(SenderTestCase):
    """What happens while the store can neither be read nor written."""

    def test_delivery_that_could_not_be_recorded(self) -> None:
        """It is sent again with the same ID and bytes when the store is back."""
        entry = self.enqueue()
        [first] = self.calls
        self.store.is_available = False
        first.acknowledge()
        self.clock.pump([1] * 60)
        self.assertEqual(len(self.calls), 1)
        self.store.is_available = True
        self.clock.pump([1] * 25)
        second = self.calls[1]
        self.assertEqual((first.txn_id, first.body), (second.txn_id, second.body))
        second.acknowledge()
        self.assertEqual(self.state(entry)["state"], "delivered")
        self.assertEqual(len(self.calls), 2)

    def test_failure_that_could_not_be_recorded(self) -> None:
        """It is tried again when the store is back."""
        self.enqueue()
        [first] = self.calls
        self.store.is_available = False
        first.fail()
        self.store.is_available = True
        self.clock.pump([1] * 25)
        self.assertEqual(self.calls[1].body, first.body)

    def test_peer_that_could_not_be_verified(self) -> None:
        """Where the store fails while a peer is verified, the peer has not failed."""
        entry = self.enqueue()
        self.calls[0].fail(StoreUnavailable("disk full"))
        self.clock.pump([1] * 25)
        self.assertEqual(len(self.calls), 2)
        self.assertEqual(self.state(entry)["attempts"], 0)

    def test_store_is_not_asked_all_the_time(self) -> None:
        """While it is away, it is asked each five seconds, and then things go on."""
        self.store.is_available = False
        asked = self.store.refused
        self.sender.wake()
        for _ in range(100):
            self.clock.advance(0.5)
        self.assertEqual(self.store.refused - asked, 11)
        self.store.is_available = True
        self.clock.advance(5)
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
