"""Keys that are fetched on request, although some are known."""

from twisted.internet.defer import Deferred, gatherResults

from homeserver.net.cause import OURSELVES
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.keyrings import (
    K1,
    K2,
    NOW,
    UNREACHABLE,
    A,
    KeyringCase,
    document,
    key,
)


class RefreshTests(KeyringCase):
    """Keys that are fetched although there are some."""

    def refresh(self, server_name: ServerName = A) -> Deferred[bool]:
        """Have the keys of a server fetched now."""
        return Deferred.fromCoroutine(self.keyring.refresh(server_name, OURSELVES))

    def test_what_is_known_is_fetched_anew(self) -> None:
        """Keys that are known and good are fetched, and the new ones are known."""
        self.store(document(K1))
        refreshed = self.refresh()
        self.assertNoResult(refreshed)
        self.client.answer(document(K1, K2))
        self.successResultOf(refreshed)
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_a_success_is_not_enough(self) -> None:
        """A request for news gets it also a moment after the last."""
        for number in range(1, 4):
            refreshed = self.refresh()
            self.assertEqual(len(self.client.asked), number)
            self.client.answer(document(K1, until=NOW + number))
            self.successResultOf(refreshed)

    def test_a_bad_answer_is_not_enough(self) -> None:
        """A server that answered badly is asked again for a request for news."""
        for number in range(1, 4):
            refreshed = self.refresh()
            self.assertEqual(len(self.client.asked), number)
            self.client.answer(Refused(A, 400, None, ""))
            self.assertFalse(self.successResultOf(refreshed))
        # A request whose origin may be forged gives it no trouble.
        self.assertIn("a.example answers 400", self.refusal(self.ask()))
        self.assertEqual(len(self.client.asked), 3)

    def test_a_failure_is_told_for_its_time(self) -> None:
        """A server that failed a moment ago is not asked again before its time."""
        refreshed = self.refresh()
        self.client.answer(UNREACHABLE)
        self.successResultOf(refreshed)
        for seconds in 0, 29.5:
            self.clock.advance(seconds)
            self.successResultOf(self.refresh())
        self.assertEqual(len(self.client.asked), 1)
        self.clock.advance(0.5)
        self.assertNoResult(self.refresh())

    def test_a_failure_of_a_request_counts(self) -> None:
        """A server that failed for one request is not asked for another."""
        asked = self.ask()
        self.client.answer(UNREACHABLE)
        self.refusal(asked)
        self.successResultOf(self.refresh())
        self.assertEqual(len(self.client.asked), 1)

    def test_one_fetch_serves_many(self) -> None:
        """All requests for news at the same time wait for one fetch."""
        refreshed = gatherResults([self.refresh() for _ in range(10)])
        asked = self.ask()
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(document(K1))
        self.successResultOf(refreshed)
        self.assertEqual(self.successResultOf(asked), key(K1))
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_news_count_as_a_fetch(self) -> None:
        """A key that was in neither of two fetches is not fetched a third time."""
        self.refresh()
        self.client.answer(document(K1))
        second = self.ask(K2)
        self.client.answer(document(K1))
        self.assertNotIn("failed", self.refusal(second))
        self.assertNotIn("failed", self.refusal(self.ask(K2)))
        self.assertEqual(self.client.asked, ["v2 of a.example"] * 2)

    def test_an_error_of_ours_is_raised(self) -> None:
        """Where the store fails, a request for news fails."""
        refreshed = self.refresh()
        self.client.answer(StoreUnavailable("full"))
        self.failureResultOf(refreshed, StoreUnavailable)
