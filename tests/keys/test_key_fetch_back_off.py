"""How seldom a server is asked for keys that it did not give."""

from operator import itemgetter

from twisted.internet.defer import Deferred

from homeserver.keys.signed_event import SignedEvent
from homeserver.net import shares
from homeserver.net.cause import OURSELVES
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.keyrings import (
    K1,
    K2,
    NOW,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)

BACK_OFF = [30, 60, 120, 240, 300, 300, 300]


class BackOffTests(KeyringCase):
    """A server whose keys cannot be had is asked ever more seldom."""

    def fail(self, seconds: float, server_name: ServerName = A) -> None:  # type: ignore[override]
        """See to it that there is one try now, and none in the next seconds."""
        before = len(self.client.asked)
        asked = self.ask(server_name=server_name)
        self.assertEqual(len(self.client.asked), before + 1)
        self.client.answer(UNREACHABLE)
        self.refusal(asked)
        self.clock.advance(seconds - 0.5)
        self.assertIn("fetching them failed", self.refusal(self.ask()))
        self.assertEqual(len(self.client.asked), before + 1)
        self.clock.advance(0.5)

    def test_each_failure_doubles_the_time(self) -> None:
        """After failures in a row there is no try for twice as long, up to 300 s."""
        for seconds in BACK_OFF:
            self.fail(seconds)

    def test_a_success_begins_anew(self) -> None:
        """After a success, a failure is one for half a minute again."""
        for seconds in BACK_OFF[:4]:
            self.fail(seconds)
        asked = self.ask()
        self.client.answer(document(K2))
        self.refusal(asked)
        self.clock.advance(10)
        for seconds in BACK_OFF:
            self.fail(seconds)

    def test_each_fetch_is_told(self) -> None:
        """Observers see fetches, and not what is known or waited for."""
        asked = [self.ask(), self.ask()]
        self.assertEqual(self.fetched, [])
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.fetched, ["failed"])
        self.clock.advance(30)
        asked += [self.ask(), self.ask()]
        self.client.answer(document(K1))
        self.assertEqual(self.fetched, ["failed", "fetched"])
        self.successResultOf(self.ask())
        self.assertEqual(self.fetched, ["failed", "fetched"])
        for each in asked:
            each.addErrback(lambda _: None)

    def test_a_no_is_a_failure_as_well(self) -> None:
        """A server that has no document for us is asked ever more seldom too."""
        for seconds in BACK_OFF[:3]:
            asked = self.ask()
            self.client.answer(Refused(A, 500, None, ""))
            self.refusal(asked)
            count = len(self.client.asked)
            self.clock.advance(seconds - 0.5)
            self.refusal(self.ask())
            self.assertEqual(len(self.client.asked), count)
            self.clock.advance(0.5)

    def test_servers_fail_each_alone(self) -> None:
        """The failures of one server are not those of another."""
        for seconds in BACK_OFF[:3]:
            self.fail(seconds)
        asked = self.ask(server_name=B)
        self.client.answer(UNREACHABLE)
        self.refusal(asked)
        self.clock.advance(30)
        self.assertNoResult(self.ask(server_name=B))

    def test_that_there_are_too_many_is_no_failure(self) -> None:
        """A server that was not asked for lack of room has not failed."""
        self.patch(shares, "_MAX_OWN_WAITING", 1)
        names = [ServerName.parse(f"{number}.example") for number in range(101)]
        others = [self.ask(server_name=name) for name in names]
        for _ in range(5):
            self.assertIn("too many", self.refusal(self.ask()))
        for other in others:
            self.client.answer(UNREACHABLE)
            self.refusal(other)
        self.fail(30)

    def test_a_bound_of_ours_is_no_failure(self) -> None:
        """Where a bound of ours was reached, the next request is tried."""
        for _ in range(2):
            asked = self.ask()
            self.client.answer(Unreachable(A, ["too many"], "over_budget"))
            self.assertIn("fetching them failed", self.refusal(asked))
        asked = self.ask()
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(asked), key(K1))

    def test_a_failed_server_is_asked_once_for_events(self) -> None:
        """Events of one search cause one fetch that fails, whatever the reason."""
        failed: set[ServerName] = set()
        first = self.ask_for_event_after(failed)
        self.client.answer(Unreachable(A, ["too many"], "over_budget"))
        self.assertEqual(self.successResultOf(first), {})
        self.assertEqual(failed, {A})
        self.assertEqual(self.successResultOf(self.ask_for_event_after(failed)), {})
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        other = self.ask_for_event_after(set())
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(other), {K1: key(K1)})
        self.assertEqual(
            self.successResultOf(self.ask_for_event_after(failed)), {K1: key(K1)}
        )

    def test_an_error_of_ours_is_no_failure(self) -> None:
        """Where the store fails, the server has not."""
        for _ in range(5):
            asked = self.ask()
            self.client.answer(StoreUnavailable("full"))
            self.failureResultOf(asked, StoreUnavailable)
        self.fail(30)

    def test_who_waits_for_long_is_told(self) -> None:
        """A request for keys fails after half a minute; the fetch goes on."""
        event, asked = self.ask_for_event_after(), self.ask()
        self.clock.advance(29.5)
        late = self.ask()
        self.assertNoResult(asked)
        self.assertNoResult(event)
        self.clock.advance(0.5)
        said = self.refusal(asked)
        self.assertIn("fetching them failed: no answer within 30 s", said)
        self.assertEqual(self.successResultOf(event), {})
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(late), key(K1))
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_to_wait_in_vain_is_no_failure(self) -> None:
        """A server that takes long has not failed, and is not asked a second time."""
        first = self.ask()
        self.clock.advance(30)
        self.refusal(first)
        second = self.ask()
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(UNREACHABLE)
        self.refusal(second)
        self.clock.advance(30)
        self.fail(60)

    def ask_for_event_after(
        self, failed: set[ServerName] | None = None
    ) -> Deferred[dict[KeyId, VerifyKey]]:
        """Ask for a key of an event, in a search in which these servers failed."""
        event = SignedEvent([K1], NOW, ROOM_VERSIONS["12"])
        found = self.keyring.event_keys(A, [event], OURSELVES, failed)
        return Deferred.fromCoroutine(found).addCallback(itemgetter(0))
