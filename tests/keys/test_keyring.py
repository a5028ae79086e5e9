"""Which keys of a server verify its requests, and what is said where none does."""

from msgspec.structs import replace

from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, parse_v2
from homeserver.protocol.signing import sign
from tests.support.key_documents import signing_key
from tests.support.keyrings import (
    HOUR,
    IDENTITY,
    K1,
    K2,
    K3,
    NOW,
    OWN,
    OWN_KEY,
    REFUSED,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)


class KeyringTests(KeyringCase):
    """The keys of requests."""

    def test_a_stored_key_is_not_fetched(self) -> None:
        """A key that is known and good is used without asking anybody."""
        self.store(document(K1, K2))
        self.assertEqual(self.successResultOf(self.ask(K2)), key(K2))
        self.assertEqual(self.client.asked, [])

    def test_a_key_is_good_until_its_last_millisecond(self) -> None:
        """A key verifies requests up to the time that its document says."""
        self.store(document(K1, until=NOW + 1000))
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(self.ask()), key(K1))
        self.clock.advance(0.5)
        self.assertNoResult(self.ask())
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_a_key_of_another_server_is_none(self) -> None:
        """A key is a key of the server that published it, and of no other."""
        self.store(document(K1, server_name=B))
        self.assertNoResult(self.ask())

    def test_what_strangers_are_told(self) -> None:
        """Strangers learn which check failed, and nothing that an address did."""
        reached = "no connection to a.example could be verified"
        answered = "a.example answers 500 M_UNKNOWN"
        both = f"a.example answers 404 M_UNRECOGNIZED; {reached}"
        cases: list[tuple[list[Exception], str]] = [
            ([UNREACHABLE], reached),
            ([REFUSED, UNREACHABLE], both),
            ([Refused(A, 500, "M_UNKNOWN", "'secret'")], answered),
        ]
        for problems, public in cases:
            self.clock.advance(300)
            asked = self.ask()
            for problem in problems:
                self.client.answer(problem)
            told = str(self.failureResultOf(asked, Unauthorized).value)
            self.assertTrue(told.endswith(f"; fetching them failed: {public}"), told)

    def test_a_key_that_its_server_does_not_have(self) -> None:
        """A request signed with an unknown key is refused with the known keys."""
        asked = self.ask(K3)
        self.client.answer(document(K2, K1))
        self.assertEqual(
            self.refusal(asked),
            "no usable key ed25519:3 of a.example; "
            "known keys of a.example: ed25519:1, ed25519:2",
        )

    def test_a_key_that_is_passed_over(self) -> None:
        """A request signed with a key of a bad entry is refused with that rule."""
        members = {
            "server_name": "a.example",
            "verify_keys": {
                K1: {"key": encode_base64(key(K1).key)},
                K2: {"key": encode_base64(bytes(31))},
            },
            "valid_until_ts": NOW + HOUR,
        }
        asked = self.ask(K2)
        signed = sign(members, A, [signing_key(K1)])
        self.client.answer(parse_v2(encode(signed), A))
        second = self.ask(K2)
        self.client.answer(parse_v2(encode(signed), A))
        for each in asked, second, self.ask(K2):
            self.assertEqual(
                self.refusal(each),
                "no usable key ed25519:2 of a.example; "
                "known keys of a.example: ed25519:1; ed25519:2 is ignored: "
                "key ed25519:2 has 31 bytes; ed25519 keys have 32",
            )
        self.assertEqual(self.successResultOf(self.ask(K1)), key(K1))

    def test_an_expired_key(self) -> None:
        """A request signed with an expired key is refused with the time of expiry."""
        self.store(document(K1, until=NOW - 1))
        asked = self.ask()
        self.client.answer(UNREACHABLE)
        self.assertEqual(
            self.refusal(asked),
            f"no usable key ed25519:1 of a.example; it expired at {NOW - 1}; "
            "known keys of a.example: ed25519:1; "
            "fetching them failed: a.example cannot be reached: no route",
        )

    def test_an_old_key(self) -> None:
        """An old key verifies no request, even one of before it was given up."""
        self.store(document(K2, old=[(K1, NOW + HOUR)]))
        asked = self.ask()
        self.client.answer(document(K2, old=[(K1, NOW + HOUR)]))
        self.assertIn(f"it expired at {NOW + HOUR}; known keys", self.refusal(asked))

    def test_a_key_that_was_given_up_meanwhile(self) -> None:
        """A key that is fetched as an old one is no longer used for requests."""
        self.store(document(K1, until=NOW + 1000))
        self.successResultOf(self.ask())
        self.clock.advance(2)
        asked = self.ask()
        self.client.answer(document(K2, old=[(K1, NOW)]))
        self.assertIn(f"it expired at {NOW}; ", self.refusal(asked))

    def test_our_own_key(self) -> None:
        """Our own keys are known without asking ourselves, and never expire."""
        for _ in range(2):
            asked = self.ask(K1, OWN)
            self.assertEqual(self.successResultOf(asked), OWN_KEY.verify_key)
            self.clock.advance(MAX_VALIDITY_MS)
        self.assertEqual(self.client.asked, [])

    def test_our_own_old_key(self) -> None:
        """Our own old keys verify no requests, and no server is asked about them."""
        self.assertIn(f"it expired at {NOW - HOUR}; ", self.refusal(self.ask(K2, OWN)))
        self.assertIn("no usable key ed25519:3", self.refusal(self.ask(K3, OWN)))
        self.assertEqual(self.client.asked, [])

    def test_our_own_new_key(self) -> None:
        """Keys that were reloaded are our own from then on."""
        key_3 = signing_key(K3, b"new")
        self.refusal(self.ask(K3, OWN))
        self.identity = replace(IDENTITY, signing_keys=[key_3])
        self.assertEqual(self.successResultOf(self.ask(K3, OWN)), key_3.verify_key)
        self.refusal(self.ask(K1, OWN))
