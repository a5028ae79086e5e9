"""Which keys a signature is tried with, to find out whose it is."""

from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.identifiers import ServerName
from tests.support import key_documents
from tests.support.key_documents import signing_key
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    K3,
    NOW,
    OWN,
    OWN_KEY,
    OWN_OLD_KEY,
    A,
    KeyringCase,
    document,
    key,
)


class CandidateTests(KeyringCase):
    """The keys that a diagnosis gets."""

    def candidates(self, server_name: ServerName = A) -> list[CandidateKey]:
        """The candidates, in the order of their IDs."""
        asked = Deferred.fromCoroutine(self.keyring.candidates(server_name))
        found = self.successResultOf(asked)
        return sorted(found, key=lambda each: each.verify_key.key_id)

    def test_standing(self) -> None:
        """Current, expired and old keys, without a fetch."""
        self.assertEqual(self.candidates(), [])
        self.store(document(K2, until=NOW - 1))
        self.store(document(K1, old=[(K3, NOW - HOUR)]))
        self.assertEqual(
            self.candidates(),
            [
                CandidateKey(key(K1)),
                CandidateKey(key(K2), "expired", NOW - 1),
                CandidateKey(key(K3), "old", NOW - HOUR),
            ],
        )
        self.assertEqual(self.client.asked, [])

    def test_own(self) -> None:
        """Our own keys are candidates for what we are said to have sent."""
        self.assertEqual(
            self.candidates(OWN),
            [
                CandidateKey(OWN_KEY.verify_key),
                CandidateKey(OWN_OLD_KEY.verify_key, "old", OWN_OLD_KEY.expired_ts),
            ],
        )

    def test_served(self) -> None:
        """A key that contradicts the stored one is a candidate, until all is forgot."""
        self.store(document(K1))
        other = signing_key(K1, b"rebuilt")
        served = key_documents.key_document(A, [other], NOW + HOUR)
        asking = Deferred.fromCoroutine(self.keyring.conflict(A, OURSELVES))
        self.client.answer(served)
        self.assertIsNotNone(self.successResultOf(asking))
        expected = [CandidateKey(key(K1)), CandidateKey(other.verify_key, "served")]
        self.assertEqual(self.candidates(), expected)
        self.keyring.forget(A)
        self.assertEqual(self.candidates(), [CandidateKey(key(K1))])
