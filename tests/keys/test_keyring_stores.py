"""What of a name is stored, and when: nothing before something was proven."""

from operator import itemgetter
from typing import TypeVar

from twisted.internet.defer import Deferred

from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import Cause
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import Job
from tests.support.key_documents import key_document, signing_key
from tests.support.keyrings import (
    HOUR,
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

T = TypeVar("T")

STRANGER = Cause("192.0.2.1")

REBUILT = key_document(A, [signing_key(K1, b"rebuilt")], NOW + HOUR)
"""Another key under the ID of the one in `document(K1)`."""

CONFLICT = "`homeserver peers --forget a.example` forgets the stored key"


class StoringTests(KeyringCase):
    """What is in the store."""

    def rows(self) -> dict[str, int]:
        """How many rows each table has in which strangers' names may be."""
        count = "SELECT count(*) FROM {}"
        return {
            table: self.database.connection.execute(count.format(table)).fetchone()[0]
            for table in ("server_keys", "key_documents", "peers")
        }

    def fetch_one(self) -> None:
        """Let a key have been fetched for a request."""
        asked = self.ask()
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(asked), key(K1))

    def assert_nothing_is_stored(self) -> None:
        """See that no row speaks of anybody."""
        self.assertEqual(set(self.rows().values()), {0})

    def test_a_request_that_is_not_proven_stores_nothing(self) -> None:
        """What is fetched for a request is not stored until it is proven."""
        self.fetch_one()
        self.assert_nothing_is_stored()
        self.prove(B)
        self.assert_nothing_is_stored()
        self.prove(A)
        self.assertEqual(
            self.rows(), {"server_keys": 1, "key_documents": 1, "peers": 1}
        )

    def test_keys_are_there_while_they_are_stored(self) -> None:
        """Requests that come while the keys are stored are verified too."""
        self.fetch_one()
        write, may_write = self.database.write, Deferred[None]()

        async def write_later(job: Job[T]) -> T:
            await may_write
            return await write(job)

        self.database.write = write_later  # type: ignore[method-assign]
        proving = [
            Deferred.fromCoroutine(self.keyring.prove(A)),
            Deferred.fromCoroutine(self.keyring.prove(A)),
        ]
        self.assertEqual(self.successResultOf(self.ask()), key(K1))
        for each in proving:
            self.assertNoResult(each)
        may_write.callback(None)
        for each in proving:
            self.successResultOf(each)
        self.assertEqual(self.successResultOf(self.ask()), key(K1))
        self.assertEqual(len(self.client.asked), 1)

    def test_what_is_held_is_not_fetched_again(self) -> None:
        """Keys that have proven nothing yet verify later requests all the same."""
        self.fetch_one()
        self.clock.advance(60)
        self.assertEqual(self.successResultOf(self.ask()), key(K1))
        self.assertEqual(len(self.client.asked), 1)

    def test_what_is_stored_is_as_it_was_fetched(self) -> None:
        """Time that passes before the proof does not make keys good for longer."""
        self.fetch_one()
        self.clock.advance(60)
        self.prove()
        [until] = self.database.connection.execute(
            "SELECT fetched_ts FROM key_documents"
        ).fetchone()
        self.assertEqual(until, NOW)

    def test_the_notary_stores(self) -> None:
        """A document that verified for the notary is stored."""
        refreshing = Deferred.fromCoroutine(self.keyring.refresh(A, STRANGER))
        self.client.answer(document(K1))
        self.assertTrue(self.successResultOf(refreshing))
        self.assertEqual(self.rows()["key_documents"], 1)

    def test_what_did_not_verify_is_not_stored_for_the_notary(self) -> None:
        """Where a server has no good document, its name is not stored."""
        for problem in UNREACHABLE, Refused(A, 500, None, ""), Unauthorized("no"):
            refreshing = Deferred.fromCoroutine(self.keyring.refresh(A, STRANGER))
            self.client.answer(problem)
            self.assertFalse(self.successResultOf(refreshing))
            self.keyring.fetches.end_pauses()
        self.assert_nothing_is_stored()

    def test_events_store(self) -> None:
        """A document that verified for an event of a proven transaction is stored."""
        found = Deferred.fromCoroutine(
            self.keyring.event_keys(
                A, [SignedEvent([K1], NOW, ROOM_VERSIONS["12"])], STRANGER
            )
        )
        self.client.answer(document(K1))
        self.assertEqual(self.successResultOf(found), [{K1: key(K1)}])
        self.assertEqual(self.rows()["server_keys"], 1)

    def test_a_pin_is_stored_with_the_proof(self) -> None:
        """A server verified by key document is pinned when a request is proven."""
        shown = document(K1, until=None)
        self.client.peer = VerifiedPeer(
            A, "key-document", b"DER", shown, verified_ts=NOW
        )
        self.fetch_one()
        peer = Deferred.fromCoroutine(self.peers.peer(A))
        self.assertIsNone(self.successResultOf(peer))
        self.prove()
        known = self.successResultOf(Deferred.fromCoroutine(self.peers.peer(A)))
        assert known is not None
        self.assertEqual(known.pinned_keys, shown.verify_keys)
        self.assertEqual(known.first_verified_ts, NOW)

    def test_who_became_another_meanwhile_proves_nothing(self) -> None:
        """Where the store knows the peer as another by then, the request is refused."""
        shown = document(K1, until=None)
        self.client.peer = VerifiedPeer(A, "key-document", b"DER", shown)
        self.fetch_one()
        self.store(REBUILT)
        proving = Deferred.fromCoroutine(self.keyring.prove(A))
        failure = self.failureResultOf(proving, Unauthorized)
        self.assertIn(CONFLICT, str(failure.value))


class ConflictTests(KeyringCase):
    """A server that was rebuilt with a new key under the old ID."""

    def setUp(self) -> None:
        """Know its first key."""
        super().setUp()
        self.store(document(K1))

    def conflict(self) -> Deferred[str | None]:
        """Ask whether what it serves contradicts what is stored."""
        return Deferred.fromCoroutine(self.keyring.conflict(A, STRANGER))

    def test_the_new_key_is_refused(self) -> None:
        """A document with another key under a stored ID is not taken, and says so."""
        asked = self.ask(K2)
        self.client.answer(REBUILT)
        said = self.refusal(asked)
        self.assertIn("fetching them failed: ed25519:1 of a.example is ", said)
        self.assertIn(" since 2020-09-13 12:26:40 UTC: ", said)
        self.assertIn(CONFLICT, said)
        self.prove()
        self.assertEqual(self.successResultOf(self.ask(K1)), key(K1))

    def test_what_is_served_is_looked_at(self) -> None:
        """A server whose stored key verified nothing is asked what it serves now."""
        found = self.conflict()
        self.assertNoResult(found)
        self.client.answer(REBUILT)
        self.assertIn(CONFLICT, str(self.successResultOf(found)))
        # And not asked again for five minutes, however often somebody forges.
        self.clock.advance(299)
        self.assertIn(CONFLICT, str(self.successResultOf(self.conflict())))
        self.assertEqual(len(self.client.asked), 1)
        self.clock.advance(1)
        self.assertNoResult(self.conflict())

    def test_what_came_a_moment_ago_is_not_enough(self) -> None:
        """A server that was rebuilt just now is seen to be."""
        asked = self.ask(K2)
        self.client.answer(document(K1, K2))
        self.successResultOf(asked)
        found = self.conflict()
        self.client.answer(REBUILT)
        self.assertIn(CONFLICT, str(self.successResultOf(found)))

    def test_another_server_at_the_connection(self) -> None:
        """A server that is not verified, as its keys are others, is told so too."""
        found = self.conflict()
        why = "it was rebuilt"
        self.client.answer(Unreachable(A, ["no"], conflict=why))
        self.assertEqual(self.successResultOf(found), why)
        self.assertIn(f"fetching them failed: {why}", self.refusal(self.ask(K2)))

    def test_no_contradiction(self) -> None:
        """A server that serves what is stored, or nothing, contradicts nothing."""
        answers: list[KeyDocument | Exception] = [document(K1), UNREACHABLE]
        for answer in answers:
            found = self.conflict()
            self.client.answer(answer)
            self.assertIsNone(self.successResultOf(found))
            self.assertIsNone(self.successResultOf(self.conflict()))
            self.clock.advance(300)

    def test_a_silent_server_is_waited_for_three_seconds(self) -> None:
        """A request that is refused anyway does not wait for long."""
        found = self.conflict()
        self.clock.advance(2.9)
        self.assertNoResult(found)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(found))
        self.client.answer(REBUILT)
        self.assertIn(CONFLICT, str(self.successResultOf(self.conflict())))

    def forget(self, server_name: ServerName = A) -> None:
        """Forget a server, as an operator does."""
        forgetting = Deferred.fromCoroutine(self.peers.forget(server_name))
        self.assertTrue(self.successResultOf(forgetting))
        self.keyring.forget(server_name)

    def event_keys(self, version: str) -> Deferred[dict[KeyId, VerifyKey]]:
        """The keys of an event of long ago."""
        event = SignedEvent([K1], 1, ROOM_VERSIONS[version])
        found = self.keyring.event_keys(A, [event], STRANGER)
        return Deferred.fromCoroutine(found).addCallback(itemgetter(0))

    def test_a_forgotten_key_verifies_nothing(self) -> None:
        """After it was forgotten, not even old events are verified by a key."""
        self.store(document(K2, old=[(K1, NOW)]))
        self.assertEqual(self.successResultOf(self.event_keys("1")), {K1: key(K1)})
        self.forget()
        for version in "1", "4", "5", "12":
            found = self.event_keys(version)
            self.client.answer(UNREACHABLE)
            self.assertEqual(self.successResultOf(found), {})
            self.keyring.fetches.end_pauses()

    def test_forgetting_ends_the_pauses(self) -> None:
        """After a conflict and after silence, a forgotten server is asked at once."""
        answers: list[KeyDocument | Exception] = [REBUILT, UNREACHABLE]
        for answer in answers:
            asked = self.ask(K2)
            self.client.answer(answer)
            self.refusal(asked)
            self.store(document(K1))
            self.forget()
            asked = self.ask(K1)
            self.client.answer(document(K1))
            self.assertEqual(self.successResultOf(asked), key(K1))
            self.forget_held()

    def forget_held(self) -> None:
        """Begin again with the first key."""
        self.keyring.forget(A)
        self.store(document(K1))

    def test_the_new_key_is_taken_after_forgetting(self) -> None:
        """The command that the refusal names makes the new key good."""
        found = self.conflict()
        self.client.answer(REBUILT)
        self.successResultOf(found)
        self.forget()
        asked = self.ask(K1)
        self.client.answer(REBUILT)
        new = signing_key(K1, b"rebuilt").verify_key
        self.assertEqual(self.successResultOf(asked), new)
        self.prove()
        found = self.conflict()
        self.client.answer(REBUILT)
        self.assertIsNone(self.successResultOf(found))

    def test_a_fetch_of_before_brings_nothing_back(self) -> None:
        """What a fetch brings that was under way is not taken."""
        asked = self.ask(K2)
        self.forget()
        self.client.answer(document(K1, K2))
        self.assertIn("was forgotten during the fetch", self.refusal(asked))
        self.prove()
        stored = Deferred.fromCoroutine(self.peers.keys(A))
        self.assertEqual(self.successResultOf(stored), {})

    def test_what_was_held_is_forgotten(self) -> None:
        """What was fetched and not stored is forgotten as well."""
        asked = self.ask(K2)
        self.client.answer(document(K1, K2))
        self.successResultOf(asked)
        self.forget()
        self.assertNoResult(self.ask(K2))
