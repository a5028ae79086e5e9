"""How the checks of PDUs leave the reactor to others.

The checker pauses between two PDUs, two signatures and two verdicts.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from homeserver.config.values import Events
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import OURSELVES
from homeserver.net.cooperate import Pace
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json
from tests.support.pdu_checker import PduCheckerTestCase
from tests.support.pdus import message, sign
from tests.support.signed_requests import THEM, Peer, signing_key


class PaceTests(PduCheckerTestCase):
    """Checks that take a long time."""

    def turns(self, *pdus: Json) -> int:
        """The turns of the reactor that it takes where time flies."""

        class Busy(Clock):
            """A clock that goes on by two milliseconds at each look."""

            turns = 0

            def seconds(self) -> float:
                """As `IReactorTime`."""
                self.rightNow += 0.002
                return super().seconds()

            def callLater(self, *arguments: Any, **named: Any) -> IDelayedCall:
                """As `IReactorTime`."""
                self.turns += 1
                return super().callLater(*arguments, **named)

        clock = Busy()
        checker = PduChecker(self.store, self.keys, clock, Pace(clock), Events())
        checking = Deferred.fromCoroutine(
            checker.check(pdus, THEM.server_name, OURSELVES)
        )
        self.assertNoResult(checking)
        clock.pump([0.0] * 100)
        self.assertEqual(len(self.successResultOf(checking)), len(pdus))
        return clock.turns

    def test_others_have_their_turn(self) -> None:
        """Between two PDUs of a long transaction the checker pauses."""
        self.assertGreater(self.turns(message(), message(depth=9)), 1)

    def test_others_have_their_turn_between_signatures(self) -> None:
        """The checker pauses between two signatures of one event."""
        pdu = message()
        few = self.turns(pdu)
        for number in range(20):
            key = signing_key(f"t_{number + 2}")
            peer = Peer(THEM.server_name, key)
            self.keys.learn(peer)
            pdu = sign(pdu, "11", peer)
        self.assertGreater(self.turns(pdu), few + 19)

    def test_others_have_their_turn_where_nothing_is_verified(self) -> None:
        """The checker pauses before each verdict on events that need no signature."""
        content: Json = {"membership": "invite", "third_party_invite": {}}
        invites = [
            message(type="m.room.member", state_key=f"@{n}:x", content=content)
            | {"signatures": {}}
            for n in range(20)
        ]
        # In each of several versions, and for the verdict in the end.
        self.assertGreater(self.turns(*invites), 12 * 20)

    def test_others_have_their_turn_while_verdicts_are_made(self) -> None:
        """What is read and what is said of a bad PDU are each a work of their own."""
        bad: list[Json] = [FlawedItem({}, "bad", "")] * 20
        self.assertGreater(self.turns(*bad), 2 * 20)
