"""A server that was rebuilt with a new key under the old ID."""

from operator import itemgetter

from twisted.internet.defer import Deferred

from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import Cause
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.protocol.signing import VerifyKey
from tests.support.key_documents import signing_key
from tests.support.keyrings import (
    CONFLICT,
    K1,
    K2,
    NOW,
    REBUILT,
    UNREACHABLE,
    A,
    KeyringCase,
    document,
    key,
)

STRANGER = Cause("192.0.2.1")


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
