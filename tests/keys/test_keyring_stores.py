"""What of a name is stored, and when: nothing before something was proven."""

from typing import TypeVar

from twisted.internet.defer import Deferred

from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import Cause
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.storage.engine.interface import Job
from tests.support.keyrings import (
    CONFLICT,
    K1,
    NOW,
    REBUILT,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)

T = TypeVar("T")

STRANGER = Cause("192.0.2.1")


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
