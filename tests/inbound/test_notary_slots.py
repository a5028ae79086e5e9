"""How many servers a notary asks, and how many wait for it.

One fetch serves all who ask for a server. A hundred are asked at once for one client,
and a thousand wait.
"""

from twisted.internet.defer import Deferred

from homeserver.net import shares
from homeserver.net.cause import Cause
from homeserver.protocol.identifiers import ServerName
from tests.support.keyrings import DAY, HOUR, K1, NOW, UNREACHABLE, A, B, document
from tests.support.notaries import NotaryCase

STRANGER = Cause("192.0.2.1")


def names(count: int) -> list[ServerName]:
    """So many servers."""
    return [ServerName.parse(f"{number}.example") for number in range(count)]


class SlotTests(NotaryCase):
    """Queries for many servers."""

    def test_one_fetch_serves_many(self) -> None:
        """Whoever asks for a server at the same time waits for one fetch from it."""
        asked = [self.query(A) for _ in range(10)]
        asked += [self.query(self.keys([K1])) for _ in range(10)]
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(document(K1))
        for each in asked:
            self.assert_are(self.successResultOf(each), document(K1))
        self.assertEqual(len(self.client.asked), 1)

    def test_a_hundred_are_asked_at_once(self) -> None:
        """However many servers one client asks for, another one goes first."""
        asked = self.query(*names(150), cause=STRANGER)
        self.assertEqual(len(self.client.asked), 100)
        request = Deferred.fromCoroutine(
            self.keyring.request_key(A, K1, Cause("192.0.2.2"))
        )
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.assertEqual(len(self.client.asked), 101)
        self.client.answer(UNREACHABLE)  # which gave way
        for _ in range(100):
            self.client.answer(UNREACHABLE)
        self.refusal(request)
        self.assertNoResult(asked)  # the rest waits for the slots
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(asked), [])
        self.assertEqual(len(self.client.asked), 151)
        for _ in range(50):
            self.client.answer(UNREACHABLE)

    def test_many_wait_for_one_turn(self) -> None:
        """Who asks for a server that waits for its turn takes no other turn."""
        waiting = self.query(*names(101))
        again = self.query(names(101)[100])
        for _ in range(101):
            self.client.answer(UNREACHABLE)
        self.successResultOf(waiting)
        self.successResultOf(again)
        self.assertEqual(len(self.client.asked), 101)

    def test_few_wait_for_their_turn(self) -> None:
        """Where too many wait, the next one gets what is known at once."""
        self.patch(shares, "_MAX_OWN_WAITING", 2)
        self.store(document(K1, until=NOW + HOUR))
        waiting = self.query(*names(102))
        asked = self.successResultOf(self.query(A, minimum=NOW + DAY))
        self.assert_are(asked, document(K1, until=NOW + HOUR))
        self.assertEqual(self.successResultOf(self.query(B)), [])
        self.assertNoResult(waiting)
        self.client.answer(UNREACHABLE)
        self.assertNoResult(self.query(B))

    def test_a_thousand_may_wait(self) -> None:
        """A thousand servers wait for their turn, and one more does not."""
        waiting = self.query(*names(1100))
        self.assertEqual(self.successResultOf(self.query(A)), [])
        self.assertNoResult(waiting)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(waiting), [])
