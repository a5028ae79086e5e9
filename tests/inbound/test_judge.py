"""How PDUs are judged together: in rounds, in a thread, and known ones only once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.cause import OURSELVES
from homeserver.inbound.judge import Judge
from homeserver.protocol.canonical import Json
from homeserver.protocol.names import ServerName
from homeserver.protocol.room_versions import ROOM_VERSIONS
from homeserver.storage.changes import Changes
from homeserver.storage.received import (
    JudgedPdu,
    ReceivedStore,
    ReceivedTransaction,
)
from tests.inbound.endpoint import at_once
from tests.inbound.pdus import create, message, sign
from tests.inbound.servers import OTHERS, THEM, KnownKeys
from tests.memory import MemoryDatabase

_T = TypeVar("_T")


class JudgeTests(SynchronousTestCase):
    """A judge with a store of its own."""

    def setUp(self) -> None:
        """Make the judge, who knows the keys of two servers."""
        self.clock = Clock()
        self.store = ReceivedStore(MemoryDatabase(), Changes(self.clock))
        self.keys = KnownKeys(THEM, OTHERS)
        self.in_thread = 0

        def in_thread(work: Callable[[], _T]) -> Deferred[_T]:
            self.in_thread += 1
            return execute(work)

        self.judge = Judge(
            self.store, self.keys, self.clock, in_thread, ROOM_VERSIONS["11"]
        )

    def verdicts(self, *pdus: Json) -> Sequence[JudgedPdu]:
        """The verdicts on PDUs."""
        judging = Deferred.fromCoroutine(self.judge.judge(pdus, OURSELVES))
        return self.successResultOf(judging)

    def record(self, *pdus: Json) -> None:
        """Judge PDUs, and record them as one transaction."""
        judged = self.verdicts(*pdus)
        received = ReceivedTransaction(
            ServerName.parse("x.example"),
            "1",
            0,
            "ed25519:x",
            None,
            judged,
            [],
            [],
            b"",
        )
        self.successResultOf(Deferred.fromCoroutine(self.store.record(received)))
        self.keys.asked.clear()

    def test_known_event_is_not_verified_again(self) -> None:
        """An event that was accepted is accepted again, without anybody's keys."""
        pdu = message()
        self.record(pdu)
        [judged] = self.verdicts(pdu | {"signatures": {}})
        self.assertEqual(judged.verdict, "accepted")
        self.assertEqual(self.keys.asked, [])

    def test_known_event_with_another_content(self) -> None:
        """What its ID does not cover is checked of a known event, too."""
        pdu = message()
        self.record(pdu)
        [judged] = self.verdicts(pdu | {"content": {"body": "changed"}})
        self.assertEqual(judged.verdict, "redacted: content hash")

    def test_rejected_event_is_verified_again(self) -> None:
        """An event that was rejected may come with a good signature."""
        pdu = message()
        self.record(pdu | {"signatures": {}})
        [judged] = self.verdicts(pdu)
        self.assertEqual(judged.verdict, "accepted")
        self.assertNotEqual(self.keys.asked, [])

    def test_event_of_another_version_is_verified(self) -> None:
        """The same ID is of the same event only where it is of the same version."""
        self.record(create("6"), message("6"))
        [judged] = self.verdicts(message("6") | {"signatures": {}})
        self.assertEqual(judged.verdict, "accepted")
        unknown = message("10", room_id="!other:them.example") | {"signatures": {}}
        [judged] = self.verdicts(unknown)
        self.assertTrue(judged.verdict.startswith("rejected: "))

    def test_chosen_ids_prove_nothing(self) -> None:
        """An event of version 1 is verified each time: its sender chose its ID."""
        pdu = message("1")
        self.record(pdu)
        [judged] = self.verdicts(pdu | {"signatures": {}})
        self.assertTrue(judged.verdict.startswith("rejected: "))

    def test_eight_signatures_are_verified_here(self) -> None:
        """Few signatures are not worth a thread, and one more is."""
        pdus = [message(depth=number) for number in range(9)]
        self.verdicts(*pdus[:8])
        self.assertEqual(self.in_thread, 0)
        judged = self.verdicts(*pdus)
        self.assertEqual(self.in_thread, 1)
        self.assertEqual({each.verdict for each in judged}, {"accepted"})

    def test_each_has_its_own_verdict(self) -> None:
        """Of many PDUs in a thread, each gets what it deserves, in its place."""
        good = [message(depth=number) for number in range(9)]
        foreign = sign(message(signatures=None), "12", OTHERS)
        bad: Json = foreign | {"signatures": {"them.example": {}}}
        pdus: list[Json] = [*good[:4], bad, {"type": 5}, *good[4:]]
        verdicts = [each.verdict.split(":")[0] for each in self.verdicts(*pdus)]
        expected = ["accepted"] * 4 + ["rejected"] * 2 + ["accepted"] * 5
        self.assertEqual(verdicts, expected)

    def test_others_have_their_turn(self) -> None:
        """Between two PDUs of a long transaction the judge pauses."""

        class Busy(Clock):
            """A clock that goes on by two milliseconds at each look."""

            def seconds(self) -> float:
                """As `IReactorTime`."""
                self.rightNow += 0.002
                return super().seconds()

        clock = Busy()
        judge = Judge(self.store, self.keys, clock, at_once, ROOM_VERSIONS["11"])
        judging = Deferred.fromCoroutine(
            judge.judge([message(), message(depth=9)], OURSELVES)
        )
        pauses = 0
        while not judging.called:
            clock.advance(0)
            pauses += 1
            self.assertLess(pauses, 100)
        self.assertGreater(pauses, 0)
        self.assertEqual(len(self.successResultOf(judging)), 2)
