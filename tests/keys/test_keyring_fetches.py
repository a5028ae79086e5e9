"""How often servers are asked for keys, and the database for what is known of them."""

from operator import itemgetter
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults

from homeserver.keys.keyring import Keyring, KeyringLimits
from homeserver.keys.signed_event import SignedEvent
from homeserver.net import shares
from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.client import KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.rooms.checking import MAX_SIGNERS
from homeserver.storage.engine.interface import Job, StoreUnavailable
from homeserver.storage.peers import PeerStore
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    NOW,
    OWN,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

_T = TypeVar("_T")

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
        first = self.ask_for_event(failed)
        self.client.answer(Unreachable(A, ["too many"], "over_budget"))
        self.assertEqual(self.successResultOf(first), {})
        self.assertEqual(failed, {A})
        self.assertEqual(self.successResultOf(self.ask_for_event(failed)), {})
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        other = self.ask_for_event(set())
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(other), {K1: key(K1)})
        self.assertEqual(
            self.successResultOf(self.ask_for_event(failed)), {K1: key(K1)}
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
        event, asked = self.ask_for_event(), self.ask()
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

    def ask_for_event(
        self, failed: set[ServerName] | None = None
    ) -> Deferred[dict[KeyId, VerifyKey]]:
        """Ask for a key of an event."""
        event = SignedEvent([K1], NOW, ROOM_VERSIONS["12"])
        found = self.keyring.event_keys(A, [event], OURSELVES, failed)
        return Deferred.fromCoroutine(found).addCallback(itemgetter(0))


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


class ShareTests(KeyringCase):
    """Whose fetch goes first where there are more than there may be."""

    def want(self, server_name: ServerName, client: str | None) -> Deferred[VerifyKey]:
        """Ask for a key of a request that a client has sent, or that is ours."""
        cause = Cause(client)
        asked = Deferred.fromCoroutine(self.keyring.request_key(server_name, K1, cause))
        asked.addErrback(lambda failure: failure.trap(Unauthorized) and key(K2))
        return asked

    def crowd(self, count: int = 100) -> None:
        """Let one client want the keys of many servers, which are silent."""
        for number in range(count):
            self.want(ServerName.parse(f"{number}.example"), "192.0.2.1")

    def test_a_new_client_goes_first(self) -> None:
        """A client that has asked for nothing waits for none of another's fetches."""
        self.crowd(150)
        self.assertEqual(len(self.client.asked), 100)
        asked = self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.client._waiting[-1].callback(
            KeysAnswer(document(K1), None, self.client.peer)
        )
        self.assertEqual(self.successResultOf(asked), key(K1))

    def test_a_crowd_whose_fetches_fail_at_once(self) -> None:
        """It begins a hundred in three seconds; who is new waits for none of them."""
        for number in range(150):
            self.want(ServerName.parse(f"{number}.example"), "192.0.2.1")
            if self.client._waiting:
                self.client.answer(UNREACHABLE)
        self.assertEqual(len(self.client.asked), 100)
        self.clock.advance(2.9)
        self.assertEqual(len(self.client.asked), 100)
        self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.clock.advance(0.1)
        self.assertEqual(len(self.client.asked), 151)

    def test_who_gave_way_is_fetched_when_it_is_wanted(self) -> None:
        """That a fetch gave way is no failure of the server that was asked."""
        self.crowd()
        self.want(A, "192.0.2.2")
        first = ServerName.parse("0.example")
        self.assertIsNone(self.keyring.fetches.pause(first))
        self.want(first, "192.0.2.3")
        self.assertEqual(self.client.asked[-1], "v2 of 0.example")

    def test_a_fetch_that_an_honest_client_wants_too_goes_first(self) -> None:
        """A forger of an honest server's name does not keep that server waiting."""
        self.crowd()
        self.want(A, "192.0.2.1")
        self.assertEqual(len(self.client.asked), 100)
        self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_a_join_of_ours(self) -> None:
        """No fetch for a large room is refused, though a crowd fills the queue."""
        self.crowd(450)
        names = [ServerName.parse(f"room.{n}.test") for n in range(MAX_SIGNERS)]
        ours = [self.want(name, None) for name in names]
        self.crowd(460)
        for each in ours:
            self.assertNoResult(each)

    def test_addresses_count(self) -> None:
        """The addresses that a fetch goes to are those of its share."""
        for number in range(100):
            name = ServerName.parse(f"{number}.example")
            self.want(name, f"192.0.2.{number}")
            self.client.causes[-1].aim(["198.51.100.1"])
        self.want(A, "203.0.113.1")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_who_is_known_goes_first(self) -> None:
        """Of those that wait, a server that has proven something goes first."""
        for number in range(100):
            name = ServerName.parse(f"{number}.example")
            self.want(name, f"192.0.2.{number}")
        self.store(document(K2))
        self.want(B, "203.0.113.1")
        self.want(A, "203.0.113.2")
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_trusted_clients(self) -> None:
        """A client that is trusted may have all that there is."""
        self.keyring = Keyring(
            lambda: self.identity,
            self.peers,
            self.client,
            self.clock,
            KeyringLimits(self.clock, "192.0.2.1".__eq__),
        )
        self.crowd()
        self.want(A, "192.0.2.2")
        self.assertNotIn("v2 of a.example", self.client.asked)


class CountingDatabase(MemoryDatabase):
    """A database that counts what it is asked."""

    reads = 0

    async def read(self, job: Job[_T]) -> _T:
        """As `MemoryDatabase`, counted."""
        self.reads += 1
        return await super().read(job)


class MemoryTests(KeyringCase):
    """Keys that are asked for again."""

    def setUp(self) -> None:
        """Count what the database is asked."""
        super().setUp()
        self.counting = CountingDatabase()
        self.peers = PeerStore(self.counting, OUR_NAME, self.clock)
        self.keyring = Keyring(
            lambda: self.identity, self.peers, self.client, self.clock, self.limits
        )

    def test_a_second_request_reads_nothing(self) -> None:
        """Keys that were read a moment ago are not read from the database again."""
        self.store(document(K1, K2))
        self.successResultOf(self.ask(K1))
        self.assertEqual(self.counting.reads, 1)
        self.clock.advance(59.5)
        self.successResultOf(self.ask(K2))
        self.assertEqual(self.counting.reads, 1)
        self.clock.advance(0.5)
        self.successResultOf(self.ask(K1))
        self.assertEqual(self.counting.reads, 2)

    def test_our_own_keys_are_not_read(self) -> None:
        """Our own keys are known without the database."""
        self.successResultOf(self.ask(K1, OWN))
        self.assertEqual(self.counting.reads, 0)

    def test_servers_are_remembered_each_alone(self) -> None:
        """What is remembered of one server is not taken for another's."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        self.assertNoResult(self.ask(K1, B))
        self.assertEqual(self.counting.reads, 2)

    def test_a_forgotten_peer_is_not_remembered(self) -> None:
        """Keys of a peer that was forgotten verify nothing from that moment on."""
        self.store(document(K1))
        self.successResultOf(self.ask())
        self.successResultOf(Deferred.fromCoroutine(self.peers.forget(A)))
        asked = self.ask()
        self.assertNoResult(asked)
        self.client.answer(UNREACHABLE)
        self.assertIn("no usable key ed25519:1", self.refusal(asked))

    def test_what_is_recorded_is_known_at_once(self) -> None:
        """A key that its server has given up verifies nothing from that moment on."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        self.store(document(K2, old=[(K1, NOW - HOUR)]))
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        asked = self.ask(K1)
        self.client.answer(UNREACHABLE)
        self.assertIn(f"it expired at {NOW - HOUR}", self.refusal(asked))

    def test_what_another_process_records_is_known_in_a_minute(self) -> None:
        """Keys that another process wrote are there when what is remembered is over."""
        self.store(document(K1))
        self.successResultOf(self.ask(K1))
        other = PeerStore(self.counting, OUR_NAME, self.clock)
        recording = other.record_keys(document(K1, K2), NOW)
        self.successResultOf(Deferred.fromCoroutine(recording))
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        self.assertEqual(self.client.asked, [])
