"""What a notary hands out, and in whose name."""

from msgspec.structs import replace

from homeserver.inbound import notary
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import OldVerifyKey, build_v2, parse_v2
from homeserver.protocol.signing import sign
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.key_documents import key_document, public, signing_key
from tests.support.keyrings import (
    HOUR,
    IDENTITY,
    K1,
    K2,
    K3,
    NOW,
    OWN,
    OWN_KEY,
    UNREACHABLE,
    A,
    B,
    document,
    key,
)
from tests.support.notaries import (
    OWN_DOCUMENT,
    NotaryCase,
    is_signed_by,
    signers,
    without_signatures,
)

NAME = OWN.name


class HandedOutTests(NotaryCase):
    """The documents in an answer."""

    def test_our_own_document(self) -> None:
        """Asked for ourselves, we hand out our own document, whatever is wanted."""
        for query in OWN, self.keys([K1], OWN), self.keys(["rsa:1"], OWN, NOW * 2):
            self.assertEqual(self.known(query), [OWN_DOCUMENT])

    def test_nobody(self) -> None:
        """Asked for nobody, we hand out nothing."""
        self.assertEqual(self.known(), [])

    def test_the_origin_and_we_have_signed(self) -> None:
        """A document is as its server made it, with our signature beside its own."""
        fetched = document(K1, K2, old=[(K3, NOW - HOUR)])
        self.store(fetched)
        [found] = self.known(A)
        self.assertEqual(
            without_signatures(found), without_signatures(fetched.document)
        )
        self.assertEqual(signers(found), {A.name: [K1, K2], NAME: [K1]})
        for key_id in K1, K2:
            self.assertTrue(is_signed_by(found, A, signing_key(key_id)))
        self.assertTrue(is_signed_by(found, OWN, OWN_KEY))
        # It is still what its server's keys say it is.
        self.assertEqual(parse_v2(encode(found), A).verify_keys, fetched.verify_keys)

    def test_all_our_keys_sign(self) -> None:
        """Each of our present keys signs, and those of before do not."""
        self.store(document(K1))
        second = signing_key(K2, b"own second")
        self.identity = replace(IDENTITY, signing_keys=[OWN_KEY, second])
        [found] = self.known(A)
        self.assertEqual(signers(found)[NAME], [K1, K2])
        self.assertTrue(is_signed_by(found, OWN, second))
        self.identity = replace(IDENTITY, signing_keys=[second])
        [found] = self.known(A)
        self.assertEqual(signers(found)[NAME], [K2])

    def test_what_we_do_not_vouch_for_is_left_out(self) -> None:
        """Others' signatures, forged ones of ours, and `unsigned` are not handed on."""
        members = build_v2(A, [], [], NOW + HOUR)
        members["verify_keys"] = {"ed25519:1": {"key": public(signing_key(K1))}}
        members["tls_fingerprints"] = [{"sha256": "AAEC"}]
        members["unsigned"] = {"age": 1}
        forged: Json = {"ed25519:1": "AAEC", "ed25519:forged": "AAEC"}
        members["signatures"] = {"b.example": {"ed25519:n": "AAEC"}, NAME: forged}
        signed = sign(members, A, [signing_key(K1), signing_key(K2)])
        self.store(parse_v2(encode(signed), A))
        [found] = self.known(A)
        # A key that is not listed signs too: who trusts it has a use for it.
        self.assertEqual(signers(found), {A.name: [K1, K2], NAME: [K1]})
        self.assertTrue(is_signed_by(found, A, signing_key(K1)))
        self.assertTrue(is_signed_by(found, OWN, OWN_KEY))
        self.assertNotIn("unsigned", found)
        self.assertEqual(found["tls_fingerprints"], [{"sha256": "AAEC"}])

    def test_asking_leaves_the_store_as_it_is(self) -> None:
        """What is handed out twice is the same, and is stored as its server made it."""
        self.store(document(K1))
        before = list(self.database.connection.iterdump())
        self.assertEqual(self.known(A), self.known(A))
        self.assertEqual(list(self.database.connection.iterdump()), before)

    def test_answers_are_in_the_order_of_the_questions(self) -> None:
        """Who asks for several servers has them in his order."""
        self.store(document(K1))
        self.store(document(K1, server_name=B))
        for names in [A, B], [B, A], [B, OWN, A]:
            found = self.known(*names)
            self.assertEqual(
                [each["server_name"] for each in found], list(map(str, names))
            )

    # Which of several documents.

    def test_the_best_document_of_each_key(self) -> None:
        """For each key there is the document that is valid for the longest."""
        longer = document(K1, until=NOW + 3 * HOUR)
        shorter = document(K1, K2, until=NOW + HOUR)
        self.store_at(longer, NOW - 1)
        self.store_at(shorter, NOW)
        self.assert_are(self.known(self.keys([K1])), longer)
        self.assert_are(self.known(self.keys([K2])), shorter)
        self.assert_are(self.known(self.keys([K1, K2])), longer, shorter)
        self.assert_are(self.known(A), longer, shorter)

    def test_what_is_best_for_no_key_is_not_handed_out(self) -> None:
        """A document is left out where each of its keys is in a better one."""
        self.store(document(K1, K2, until=NOW + HOUR))
        better = [document(key_id, until=NOW + 2 * HOUR) for key_id in (K1, K2)]
        for each in better:
            self.store(each)
        self.assert_are(self.known(A), *better)

    def test_of_equals_the_later_one(self) -> None:
        """Where two are valid for as long, there is the one that came later."""
        for number, key_ids in enumerate([(K1, K2), (K1,)]):
            signers = [signing_key(key_id) for key_id in key_ids]
            self.store_at(key_document(A, signers, NOW + HOUR), NOW + number)
        [found] = self.known(self.keys([K1]))
        self.assertFalse(is_signed_by(found, A, signing_key(K2)))

    def test_other_bytes_are_another_key(self) -> None:
        """An old key that came later under the same ID does not hide the first one."""
        first = key_document(A, [signing_key(K1, b"first")], NOW + HOUR)
        old = OldVerifyKey(signing_key(K1, b"second").verify_key, NOW)
        second = key_document(A, [signing_key(K2)], NOW + HOUR + 1, [old])
        self.store_at(first, NOW)
        self.store_at(second, NOW + 1)
        self.assert_are(self.known(self.keys([K1])), first, second)

    def test_old_keys_are_keys(self) -> None:
        """A key is in a document also where it is an old one."""
        fetched = document(K2, old=[(K1, NOW - HOUR)])
        self.store(fetched)
        self.assert_are(self.known(self.keys([K1])), fetched)

    def test_a_document_for_its_old_key(self) -> None:
        """A document is handed out for an old key that no better one has."""
        with_old_key = document(K2, old=[(K1, NOW - HOUR)])
        without = document(K2, until=NOW + 2 * HOUR)
        self.store(with_old_key)
        self.store(without)
        self.assert_are(self.known(A), with_old_key, without)
        self.assert_are(self.known(self.keys([K2])), without)

    def test_one_key_of_several(self) -> None:
        """Who asks for one key gets the documents with it, and no other."""
        self.store(document(K1))
        self.store(document(K2))
        self.assert_are(self.known(self.keys([K2])), document(K2))

    def test_a_key_that_its_server_no_longer_lists(self) -> None:
        """A key that is gone is handed out in the last document that had it."""
        self.store(document(K1))
        self.clock.advance(HOUR / 2000)
        asked = self.query(self.keys([K1], until=NOW + HOUR + 1))
        self.client.answer(document(K2, until=NOW + 2 * HOUR))
        self.assert_are(self.successResultOf(asked), document(K1))
        asked = self.query(A)
        self.assert_are(
            self.successResultOf(asked),
            document(K1),
            document(K2, until=NOW + 2 * HOUR),
        )

    def test_a_key_that_nobody_has(self) -> None:
        """Of a key that its server never listed there is nothing, not even others."""
        self.store(document(K1))
        for key_id in "ed25519:never", "rsa:1", "", "\u65e5":
            asked = self.query(self.keys([key_id]))
            self.client.answer(document(K1))
            self.assertEqual(self.successResultOf(asked), [])

    def test_a_server_of_version_1(self) -> None:
        """Of a server that has no version 2 document there is nothing to hand out."""
        asked = self.query(A)
        self.client.answer(UNREACHABLE)
        self.store(document(K1, until=None))
        self.assertEqual(self.successResultOf(asked), [])

    # How much.

    def test_what_is_too_large_is_left_out(self) -> None:
        """An answer has only so many bytes; what is too large for it is not in."""
        small = document(K1, server_name=B)
        old = [
            OldVerifyKey(replace(key(K2), key_id=KeyId(f"ed25519:o_{number}")), NOW)
            for number in range(100)
        ]
        self.store(key_document(A, [signing_key(K1)], NOW + HOUR, old))
        self.store(small)
        large, _ = (len(encode(each)) for each in self.known(A, B))
        # Our signature is not counted before a document is chosen.
        least = len(encode(small.document))
        self.patch(notary, "_MAX_ANSWER_BYTES", large + least)
        self.assertEqual(len(self.known(A, B)), 2)
        self.patch(notary, "_MAX_ANSWER_BYTES", large + least - 1)
        [found] = self.known(A, B)
        self.assertEqual(found["server_name"], A.name)
        self.patch(notary, "_MAX_ANSWER_BYTES", least)
        self.assert_are(self.known(A, B), small)
        self.patch(notary, "_MAX_ANSWER_BYTES", least - 1)
        self.assertEqual(self.known(A, B), [])

    def test_what_is_too_large_of_one_server(self) -> None:
        """Of one server, too, there is only as much as there may be."""
        first, second = document(K1), document(K2)
        self.store(first)
        self.store(second)
        both = sum(len(encode(each.document)) for each in (first, second))
        self.patch(notary, "_MAX_ANSWER_BYTES", both)
        self.assertEqual(len(self.known(A)), 2)
        self.patch(notary, "_MAX_ANSWER_BYTES", both - 1)
        self.assertEqual(len(self.known(A)), 1)

    def test_what_is_replaced_while_it_is_looked_for(self) -> None:
        """A document that has gone between two looks at the store is left out."""
        for reads in 1, 2:  # one to see if it is enough, one to choose, then each
            self.store(document(K2))
            self.store(document(K1))
            self.shelf.loses = {reads: document(K1).document}
            self.assert_are(self.known(A), document(K2))
            self.assertEqual(self.shelf.loses, {})

    def test_a_store_that_fails(self) -> None:
        """Where the store fails there is no answer, and not an empty one either."""
        self.store(document(K1))
        self.shelf.fails = True
        self.failureResultOf(self.query(A), StoreUnavailable)
        self.failureResultOf(self.query(OWN, A, B), StoreUnavailable)
        self.assertEqual(self.known(OWN), [OWN_DOCUMENT])

    def test_a_store_that_fails_later(self) -> None:
        """That is so as well where it fails after a server was asked."""
        asked = self.query(A)
        self.shelf.fails = True
        self.client.answer(document(K1))
        self.failureResultOf(asked, StoreUnavailable)
        self.shelf.fails = False
        asked = self.query(B)
        self.client.answer(StoreUnavailable("full"))
        self.failureResultOf(asked, StoreUnavailable)
