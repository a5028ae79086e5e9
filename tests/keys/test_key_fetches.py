"""When the keys of a server are fetched, and when they are not fetched again."""

from homeserver.net import shares
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    K3,
    NOW,
    UNREACHABLE,
    B,
    KeyringCase,
    document,
    key,
)


class KeyFetchTests(KeyringCase):
    """What is fetched, and for how long that is remembered."""

    def test_a_key_that_is_not_known_is_fetched(self) -> None:
        """An unknown key is fetched from its server, and known from then on."""
        asked = self.ask()
        self.assertNoResult(asked)
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(asked), key(K1))
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(self.ask()), key(K1))
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_an_expired_key_is_fetched_again(self) -> None:
        """A key that has expired is asked for again, and good if it is good again."""
        self.store(document(K1, until=NOW - 1))
        asked = self.ask()
        self.client.answer(document(K1, until=NOW + HOUR))
        self.assertEqual(self.successResultOf(asked), key(K1))

    def test_seven_days_are_counted_from_the_answer(self) -> None:
        """A key that is good for ever is good for seven days after it was fetched."""
        asked = self.ask()
        self.clock.advance(5)
        self.client.answer(document(K1, until=2**53 - 1))
        self.successResultOf(asked)
        self.prove()
        self.clock.advance(MAX_VALIDITY_MS / 1000)
        self.successResultOf(self.ask())
        self.clock.advance(1)
        self.assertNoResult(self.ask())

    def test_one_fetch_serves_all(self) -> None:
        """All requests for keys of a server wait for the one fetch from it."""
        requests = [self.ask(K1), self.ask(K2), self.ask(K3)]
        event = self.ask_for_event(K1, K2)
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(document(K1, K2))
        self.assertEqual(self.successResultOf(requests[0]), key(K1))
        self.assertEqual(self.successResultOf(requests[1]), key(K2))
        self.refusal(requests[2])
        self.assertEqual(self.successResultOf(event), {K1: key(K1), K2: key(K2)})
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_one_failure_is_told_to_all(self) -> None:
        """All that waited for a fetch that fails get its error, without another try."""
        requests = [self.ask(K1), self.ask(K2)]
        self.client.answer(UNREACHABLE)
        for request in requests:
            self.assertIn(
                "fetching them failed: a.example cannot be reached: no route",
                self.refusal(request),
            )
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_servers_do_not_wait_for_each_other(self) -> None:
        """Keys of another server are another fetch."""
        first, second = self.ask(), self.ask(server_name=B)
        self.assertEqual(self.client.asked, ["v2 of a.example", "v2 of b.example"])
        self.client.answer(UNREACHABLE)
        self.refusal(first)
        self.client.answer(document(K1, server_name=B))
        self.assertEqual(self.successResultOf(second), key(K1))
        # Nor does one fetch make another one be forgotten.
        self.refusal(self.ask())
        self.assertEqual(len(self.client.asked), 2)

    def test_a_failure_is_remembered(self) -> None:
        """For thirty seconds after a failed fetch there is no other one."""
        first = self.ask()
        self.clock.advance(5)
        self.client.answer(UNREACHABLE)
        self.refusal(first)
        for seconds in 0, 29.5:
            self.clock.advance(seconds)
            self.assertIn("fetching them failed: a.example", self.refusal(self.ask()))
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.clock.advance(0.5)
        again = self.ask()
        self.assertEqual(self.client.asked, ["v2 of a.example"] * 2)
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(again), key(K1))

    def test_a_success_is_remembered(self) -> None:
        """For ten seconds after two fetches, a key that was in neither is unknown."""
        first = self.ask(K1)
        self.clock.advance(5)
        self.client.answer(document(K1))
        self.successResultOf(first)
        second = self.ask(K2)
        self.client.answer(document(K1))
        self.assertNotIn("failed", self.refusal(second))
        for seconds in 0, 9.5:
            self.clock.advance(seconds)
            self.assertNotIn("failed", self.refusal(self.ask(K2)))
        self.assertEqual(self.client.asked, ["v2 of a.example"] * 2)
        self.clock.advance(0.5)
        again = self.ask(K2)
        self.client.answer(document(K1, K2))
        self.assertEqual(self.successResultOf(again), key(K2))

    def test_a_key_that_is_new_since_the_fetch(self) -> None:
        """A server that signs with a new key just after a fetch is asked once more."""
        first = self.ask(K1)
        self.client.answer(document(K1))
        self.successResultOf(first)
        new = self.ask(K2)
        self.client.answer(document(K1, K2))
        self.assertEqual(self.successResultOf(new), key(K2))

    def test_a_success_makes_up_for_a_failure(self) -> None:
        """A failure is not told any more after a later fetch has succeeded."""
        first = self.ask(K1)
        self.client.answer(UNREACHABLE)
        self.refusal(first)
        self.clock.advance(30)
        second = self.ask(K1)
        self.client.answer(document(K2))
        self.assertNotIn("failed", self.refusal(second))
        third = self.ask(K1)
        self.client.answer(document(K2))
        self.assertNotIn("failed", self.refusal(third))
        self.assertNotIn("failed", self.refusal(self.ask(K1)))

    def test_a_failure_does_not_hide_a_stored_key(self) -> None:
        """Keys that are known and good are used while their server is unreachable."""
        self.store(document(K1))
        unknown = self.ask(K2)
        self.client.answer(UNREACHABLE)
        self.refusal(unknown)
        self.assertEqual(self.successResultOf(self.ask(K1)), key(K1))

    def test_few_servers_are_asked_at_once(self) -> None:
        """A forger with made-up names causes a hundred fetches at a time."""
        names = [ServerName.parse(f"{number}.example") for number in range(103)]
        asked = [self.ask(server_name=name) for name in names]
        self.assertEqual(len(self.client.asked), 100)
        self.client.answer(UNREACHABLE)
        self.refusal(asked[0])
        self.assertEqual(len(self.client.asked), 101)

    def test_few_wait_to_ask(self) -> None:
        """Where a thousand wait already, the next one is told so at once."""
        self.patch(shares, "_MAX_OWN_WAITING", 1)
        names = [ServerName.parse(f"{number}.example") for number in range(102)]
        asked = [self.ask(server_name=name) for name in names]
        self.assertNoResult(asked[100])
        self.assertIn(
            "fetching them failed: too many keys are being fetched",
            self.refusal(asked[101]),
        )
