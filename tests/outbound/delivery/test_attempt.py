"""What comes of an attempt: a delivery, another attempt later, or a no for ever."""

from collections.abc import Callable
from random import Random

from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from homeserver.outbound.delivery import attempt
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json, as_list, as_object
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.manual_sender import (
    ALPHA,
    BETA,
    FIRST_RETRY,
    MAX_RETRY,
    NOW,
    REFUSED,
    UNREACHABLE,
    Call,
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


class PathTests(SenderTestCase):
    """Which form of the path is tried, and which one is remembered."""

    def answer(self, status: int, errcode: str | None) -> None:
        """Let the last call be answered so."""
        self.calls[-1].fail(Refused(ALPHA, status, errcode, ""))

    def next_slash(self) -> bool:
        """Whether the path of a next transaction begins with a slash at its end."""
        self.clock.advance(MAX_RETRY)
        self.calls[-1].acknowledge()
        self.enqueue()
        return self.calls[-1].slash

    def test_what_leads_to_the_other_form(self) -> None:
        """A 400 that knows no route leads to a slash; from there, a 404 leads back."""
        for has_slash, status, errcode, leads in [
            (False, 400, "M_UNRECOGNIZED", True),
            (False, 400, None, True),
            (False, 400, "M_BAD_JSON", False),
            (False, 400, "M_UNKNOWN", False),
            (False, 404, "M_UNRECOGNIZED", False),
            (False, 404, None, False),
            (False, 413, None, False),
            (False, 500, None, False),
            (False, 200, None, False),
            (True, 400, "M_UNRECOGNIZED", True),
            (True, 400, None, True),
            (True, 404, "M_UNRECOGNIZED", True),
            (True, 404, None, True),
            (True, 400, "M_BAD_JSON", False),
            (True, 405, "M_UNRECOGNIZED", False),
            (True, 401, None, False),
        ]:
            with self.subTest((has_slash, status, errcode)):
                self.setUp()
                self.enqueue(BETA)
                slash = int(has_slash)
                self.store.execute(f"UPDATE destinations SET slash = {slash}")
                self.calls[0].acknowledge()
                self.store.execute(f"UPDATE destinations SET slash = {slash}")
                self.enqueue(BETA)
                self.assertEqual(self.calls[-1].slash, has_slash)
                first = self.calls[-1]
                first.fail(Refused(BETA, status, errcode, ""))
                self.assertEqual(len(self.calls), 3 if leads else 2)
                if leads:
                    other = self.calls[-1]
                    self.assertEqual(other.slash, not has_slash)
                    self.assertEqual(
                        (first.txn_id, first.body), (other.txn_id, other.body)
                    )

    def test_form_that_was_answered_is_remembered(self) -> None:
        """A delivery, and a no to the content, show that the path is known."""
        for status in (None, 400, 413):
            with self.subTest(status):
                self.setUp()
                self.enqueue()
                self.answer(400, None)
                if status is None:
                    self.calls[-1].acknowledge()
                else:
                    self.answer(status, "M_TOO_LARGE")
                self.enqueue()
                self.assertTrue(self.calls[-1].slash)

    def test_form_is_remembered_for_what_is_tried_again(self) -> None:
        """A transaction that failed is tried again in the form that is remembered."""
        self.enqueue()
        self.answer(400, None)
        self.calls[-1].acknowledge()
        self.enqueue()
        self.answer(500, None)
        self.clock.advance(FIRST_RETRY)
        self.assertTrue(self.calls[-1].slash)

    def test_failure_is_not_remembered(self) -> None:
        """Where both forms failed, the next attempt begins as this one did."""
        for status in (400, 404, 500):
            with self.subTest(status):
                self.setUp()
                entry = self.enqueue()
                self.answer(400, None)
                self.answer(status, None)
                self.assertEqual(len(self.calls), 2)
                state = self.state(entry)
                self.assertEqual((state["state"], state["attempts"]), ("queued", 2))
                self.assertEqual(
                    state["error"],
                    "alpha.test answers 400; in the other form of the path: "
                    f"alpha.test answers {status}",
                )
                self.clock.advance(FIRST_RETRY)
                self.assertFalse(self.calls[-1].slash)
                self.assertEqual(self.state(entry)["attempts"], 2)

    def test_no_answer_to_the_second_form(self) -> None:
        """A server that dies between the two forms is unreachable, and tried again."""
        entry = self.enqueue()
        self.answer(400, None)
        self.calls[-1].fail(UNREACHABLE)
        self.assertEqual(self.attempts[-1].result, "unreachable")
        self.assertIn("cannot be reached", str(self.state(entry)["error"]))
        self.clock.advance(FIRST_RETRY)
        self.assertFalse(self.calls[-1].slash)

    def test_one_lease_for_both_forms(self) -> None:
        """Between the two forms nothing is asked of the store."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        before = self.store.jobs
        self.answer(400, None)
        self.assertEqual(len(self.calls), 2)
        self.assertEqual(self.store.jobs, before)


def texts(state: Json) -> list[object]:
    """The sentences of the remarks on a delivery."""
    remarks = as_list(state["remarks"], "`remarks`")
    return [as_object(each, "a remark")["text"] for each in remarks]


class RemarkTests(SenderTestCase):
    """What is remarked of a reply, and kept."""

    def test_remarks_are_kept(self) -> None:
        """A reply that is not as it should be is told with the delivery."""
        cases: list[tuple[Json | None, list[str]]] = [
            ({}, ["the reply has no `pdus`"]),
            ({"pdus": {}}, ["the reply does not name PDU 0"]),
            ({"pdus": 5}, ["`pdus` of the reply is not a JSON object"]),
            (None, []),
        ]
        for reply, remarks in cases:
            with self.subTest(reply):
                entry = self.enqueue()
                self.calls[-1].acknowledge(reply)
                state = self.state(entry)
                self.assertEqual((state["state"], texts(state)), ("delivered", remarks))

    def test_reply_that_is_not_read(self) -> None:
        """What is wrong with the JSON of a reply is a remark as well."""
        entry = self.enqueue()
        self.calls[-1].acknowledge(None, ["a member occurs twice"])
        state = self.state(entry)
        self.assertEqual(texts(state), ["a member occurs twice"])

    def test_many_pdus_are_looked_at_in_pieces(self) -> None:
        """Others have their turn while the PDUs of a large transaction are hashed."""
        self.patch(attempt, "_TURN_SECONDS", -1.0)
        entry = self.enqueue(pdus=3)
        call = self.calls[-1]
        call.acknowledge({"pdus": {"$x": {}}})
        self.assertEqual(self.state(entry)["state"], "sending")
        self.clock.advance(0)
        self.assertEqual(self.state(entry)["state"], "delivered")


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


class TellingTests(SenderTestCase):
    """What is told of an attempt: one line, and one count."""

    def told(self, end: Callable[[Call], object]) -> tuple[dict[str, object], LogEvent]:
        """Let an attempt take a second and a half and end so.

        Returns the parts of the line that is logged of it, and the line.
        """
        self.enqueue(pdus=2)
        [call] = self.calls
        with capturedLogs() as events:
            self.clock.advance(1.5)
            end(call)
            self.clock.advance(0)
        [event] = [each for each in events if "log_failure" not in each]
        return event["exchange"].members(), event

    def test_delivery(self) -> None:
        """A delivery is told with where it went, and how that was verified."""
        parts, event = self.told(Call.acknowledge)
        self.assertLessEqual(
            {
                "path": f"/_matrix/federation/v1/send/{int(NOW * 1000)}-1",
                "txn_id": f"{int(NOW * 1000)}-1",
                "destination": "alpha.test",
                "result": "delivered",
                "status": 200,
                "seconds": 1.5,
                "verdict": "192.0.2.1, verified by certificate",
            }.items(),
            parts.items(),
        )
        self.assertIs(event["log_level"], LogLevel.info)
        [attempt] = self.attempts
        self.assertEqual((attempt.result, attempt.seconds), ("delivered", 1.5))

    def test_remarks(self) -> None:
        """What is wrong with the reply is told, and how much it is."""
        pdus: Json = {"$a": {"error": "no"}, "$b": {}}
        parts, _ = self.told(lambda call: call.acknowledge({"pdus": pdus}))
        self.assertEqual(
            parts["verdict"],
            "192.0.2.1, verified by certificate; 5 remarks, the first: "
            "the reply names '$a', which was not sent",
        )
        self.assertEqual(parts["result"], "delivered")

    def test_reply_of_2014(self) -> None:
        """A reply that is nothing, as in 2014, is a delivery without a remark."""
        parts, _ = self.told(Call.acknowledge)
        self.assertEqual(parts["verdict"], "192.0.2.1, verified by certificate")

    def test_attempts_at_both_paths(self) -> None:
        """Each form of the path is an attempt, with a line and a count of its own."""
        self.enqueue()
        with capturedLogs() as events:
            self.calls[0].fail(Refused(ALPHA, 400, "M_UNRECOGNIZED", "'no'"))
            self.calls[1].acknowledge({"pdus": {}})
            self.clock.advance(0)
        told = [event["exchange"].members() for event in events]
        path = f"/_matrix/federation/v1/send/{int(NOW * 1000)}-1"
        self.assertEqual(
            [(each["path"], each["result"], each["status"]) for each in told],
            [(path, "failed", 400), (f"{path}/", "delivered", 200)],
        )
        self.assertEqual(
            told[0]["verdict"],
            f"again at {path}/: alpha.test answers 400 M_UNRECOGNIZED: 'no'",
        )
        self.assertEqual(
            [(each.result, each.path.endswith("/")) for each in self.attempts],
            [("failed", False), ("delivered", True)],
        )

    def test_no_answer(self) -> None:
        """A server that is not there is told with what was tried, and when again."""
        parts, event = self.told(lambda call: call.fail(UNREACHABLE))
        self.assertEqual(
            (parts["result"], parts["status"], parts["verdict"]),
            ("unreachable", None, f"again in 2.0 s: {UNREACHABLE}"),
        )
        self.assertIs(event["log_level"], LogLevel.warn)
        self.assertEqual(
            formatEvent(event),
            f"PUT {parts['path']} to alpha.test: unreachable in 1.5 s: again in 2.0 s: "
            "alpha.test cannot be reached: s.test:8448: cannot connect",
        )

    def test_no(self) -> None:
        """A no for now is told with its status."""
        parts, _ = self.told(lambda call: call.fail(REFUSED))
        self.assertEqual((parts["result"], parts["status"]), ("failed", 403))
        self.assertEqual([each.result for each in self.attempts], ["failed"])

    def test_repeated_failure(self) -> None:
        """A failure like the last one is a line once an hour, and else for debug."""
        self.enqueue()
        levels: list[tuple[object, object]] = []

        def fail(seconds: float, end: Callable[[Call], object]) -> None:
            began = self.clock.seconds()
            while self.clock.seconds() - began < seconds or not self.waiting:
                self.clock.advance(1)
            with capturedLogs() as events:
                end(self.waiting[0])
                self.clock.advance(0)
            [event] = [each for each in events if "exchange" in each]
            levels.append((event["exchange"].status, event["log_level"]))

        refused = Refused(ALPHA, 502, "M_UNKNOWN", "")
        for seconds, end in (
            (0, lambda call: call.fail(UNREACHABLE)),
            (0, lambda call: call.fail(UNREACHABLE)),
            (0, lambda call: call.fail(refused)),
            (0, lambda call: call.fail(refused)),
            (3400, lambda call: call.fail(refused)),
            (200, lambda call: call.fail(refused)),
            (0, Call.acknowledge),
        ):
            fail(seconds, end)
        self.enqueue()
        fail(0, lambda call: call.fail(refused))
        warn, debug = LogLevel.warn, LogLevel.debug
        self.assertEqual(
            levels,
            [
                *((None, warn), (None, debug)),
                *((502, warn), (502, debug), (502, debug), (502, warn)),
                *((200, LogLevel.info), (502, warn)),
            ],
        )

    @property
    def waiting(self) -> list[Call]:
        """The calls that are not over."""
        return [call for call in self.calls if not call.result.called]

    def test_no_for_ever(self) -> None:
        """A no for ever is logged as an error, for the operator to look at."""
        refused = Refused(ALPHA, 400, "M_BAD_JSON", "")
        parts, event = self.told(lambda call: call.fail(refused))
        self.assertEqual((parts["result"], parts["status"]), ("rejected", 400))
        self.assertIs(event["log_level"], LogLevel.error)
        self.assertEqual([each.result for each in self.attempts], ["rejected"])

    def test_error_of_ours(self) -> None:
        """An error of ours is an attempt too."""
        parts, _ = self.told(lambda call: call.fail(ZeroDivisionError("a mistake")))
        self.assertEqual(parts["result"], "error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
