"""What is told of an attempt: remarks on the reply, one line, and one count."""

from collections.abc import Callable

from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from homeserver.net.cooperate import Pace
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json, as_list, as_object
from tests.support.manual_sender import (
    ALPHA,
    NOW,
    REFUSED,
    UNREACHABLE,
    Call,
    SenderTestCase,
)


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
        self.patch(Pace, "_is_time", lambda _: True)
        entry = self.enqueue(pdus=3)
        call = self.calls[-1]
        call.acknowledge({"pdus": {}})
        self.assertEqual(self.state(entry)["state"], "sending")
        self.clock.advance(0)
        self.assertEqual(self.state(entry)["state"], "delivered")


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
