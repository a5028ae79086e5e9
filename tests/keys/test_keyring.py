"""Which keys are believed, when they are fetched, and when they are not."""

from collections.abc import Mapping, Sequence
from operator import itemgetter

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from homeserver.keys.signed_event import SignedEvent
from homeserver.net import shares
from homeserver.net.cause import OURSELVES
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.errors import BadJson, Unauthorized
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument, parse_v2
from homeserver.protocol.signing import VerifyKey, sign
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
    OWN_OLD_KEY,
    REFUSED,
    UNREACHABLE,
    A,
    B,
    KeyringCase,
    document,
    key,
)

BAD = BadJson("`verify_keys` is not a JSON object")


class KeyringTests(KeyringCase):
    """The keys of all servers."""

    def show(self, shown: KeyDocument) -> None:
        """Let the server be verified now by a document."""
        now_ts = int(self.clock.seconds() * 1000)
        self.client.peer = VerifiedPeer(
            A, "key-document", b"DER", shown, verified_ts=now_ts
        )

    def ask_for_event(
        self, *key_ids: KeyId, at: int = NOW, version: str = "12"
    ) -> Deferred[dict[KeyId, VerifyKey]]:
        """Ask for keys of an event."""
        event = SignedEvent(key_ids, at, ROOM_VERSIONS[version])
        return self.ask_for_events(event).addCallback(itemgetter(0))

    def ask_for_events(
        self, *events: SignedEvent, server_name: ServerName = A
    ) -> Deferred[Sequence[Mapping[KeyId, VerifyKey]]]:
        """Ask for the keys of several events together."""
        found = self.keyring.event_keys(server_name, events, OURSELVES)
        return Deferred.fromCoroutine(found)

    # What is known already.

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

    # What is fetched.

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

    # What is not fetched again.

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

    def test_an_unsigned_event_asks_nobody(self) -> None:
        """Where no key could verify anything, none is fetched."""
        self.assertEqual(self.successResultOf(self.ask_for_event(at=0)), {})
        self.assertEqual(self.client.asked, [])

    def test_events_of_one_server_are_looked_up_together(self) -> None:
        """Each event gets the keys of its own signatures; one fetch serves all."""
        self.store(document(K1))
        version = ROOM_VERSIONS["12"]
        found = self.ask_for_events(
            SignedEvent([K1], NOW, version),
            SignedEvent([K2], NOW, version),
            SignedEvent([], NOW, version),
            SignedEvent([K1, K2, K3], NOW, version),
        )
        self.assertEqual(len(self.client.asked), 1)
        self.client.answer(document(K1, K2))
        first, second = {K1: key(K1)}, {K2: key(K2)}
        expected = [first, second, {}, first | second]
        self.assertEqual(self.successResultOf(found), expected)

    # Version 1.

    def test_version_1_where_there_is_no_version_2(self) -> None:
        """A server that has no version 2 document is asked for version 1."""
        for number, problem in enumerate(
            [REFUSED, Refused(A, 404, None, ""), Refused(A, 400, "M_UNRECOGNIZED", "")]
        ):
            self.clock.advance(60)
            asked = self.ask()
            self.client.answer(problem)
            self.assertEqual(self.client.asked[number * 2 + 1 :], ["v1 of a.example"])
            self.client.answer(document(K1, until=None))
            self.assertEqual(self.successResultOf(asked), key(K1))
            self.clock.advance(MAX_VALIDITY_MS / 1000)

    def test_no_version_1_where_version_2_is_bad(self) -> None:
        """A server whose version 2 document is bad, or fails, is not asked for 1."""
        for problem in [
            BAD,
            Unauthorized("no"),
            Refused(A, 400, None, ""),
            Refused(A, 400, "M_UNKNOWN", ""),
            Refused(A, 405, None, ""),
            Refused(A, 500, None, ""),
        ]:
            self.clock.advance(300)
            asked = self.ask()
            self.client.answer(problem)
            self.assertIn(f"fetching them failed: {problem}", self.refusal(asked))
        self.assertEqual(self.client.asked, ["v2 of a.example"] * 6)

    def test_no_version_1_of_a_server_that_is_not_reached(self) -> None:
        """A server that does not answer is not asked twice."""
        asked = self.ask()
        self.client.answer(UNREACHABLE)
        self.refusal(asked)
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_neither_version(self) -> None:
        """Where both fail, both reasons are told, and remembered."""
        for problem in [
            UNREACHABLE,
            Refused(A, 500, None, ""),
            BadJson("the key document has the server_name 'b.example'"),
        ]:
            self.clock.advance(300)
            asked = self.ask()
            self.client.answer(REFUSED)
            self.client.answer(problem)
            why = f"a.example answers 404 M_UNRECOGNIZED: 'what?'; {problem}"
            self.assertIn(f"fetching them failed: {why}", self.refusal(asked))
            self.assertIn(f"fetching them failed: {why}", self.refusal(self.ask()))

    def test_version_1_was_read_meanwhile(self) -> None:
        """A server whose version 1 document verified the connection has shown it."""
        asked = self.ask()
        self.clock.advance(1)
        self.show(document(K1, until=None))
        self.client.answer(REFUSED)
        self.assertEqual(self.successResultOf(asked), key(K1))
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_version_1_was_read_at_the_same_time(self) -> None:
        """That is so within the same millisecond, too."""
        asked = self.ask()
        self.show(document(K1, until=None))
        self.client.answer(REFUSED)
        self.successResultOf(asked)
        self.assertEqual(self.client.asked, ["v2 of a.example"])

    def test_version_1_was_read_before(self) -> None:
        """A document that was read for an earlier connection may be another one now."""
        self.show(document(K1, until=None))
        self.clock.advance(1)
        self.ask()
        self.client.answer(REFUSED)
        self.assertEqual(self.client.asked, ["v2 of a.example", "v1 of a.example"])

    def test_verified_by_certificate_meanwhile(self) -> None:
        """A server that was verified by its certificate has shown no document."""
        self.ask()
        self.client.answer(REFUSED)
        self.assertEqual(self.client.asked, ["v2 of a.example", "v1 of a.example"])

    # What is refused.

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

    # Our own keys.

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

    def test_our_own_events(self) -> None:
        """Our own keys verify our events, the old ones those of their time."""
        for at, expected in [
            (NOW - HOUR, {K1: OWN_KEY.verify_key, K2: OWN_OLD_KEY.verify_key}),
            (NOW, {K1: OWN_KEY.verify_key}),
        ]:
            event = SignedEvent([K1, K2, K3], at, ROOM_VERSIONS["12"])
            found = self.ask_for_events(event, server_name=OWN)
            self.assertEqual(self.successResultOf(found), [expected])
        self.assertEqual(self.client.asked, [])

    def test_our_own_new_key(self) -> None:
        """Keys that were reloaded are our own from then on."""
        key_3 = signing_key(K3, b"new")
        self.refusal(self.ask(K3, OWN))
        self.identity = replace(IDENTITY, signing_keys=[key_3])
        self.assertEqual(self.successResultOf(self.ask(K3, OWN)), key_3.verify_key)
        self.refusal(self.ask(K1, OWN))

    # Events.

    def test_only_what_was_asked_for(self) -> None:
        """Of an event, those of its keys are found that are known."""
        self.store(document(K1, K2))
        asked = self.ask_for_event(K2, K3)
        self.assertEqual(self.successResultOf(asked), {K2: key(K2)})

    def test_one_key_is_enough(self) -> None:
        """Where one key of an event is known and good, none is fetched."""
        self.store(document(K1))
        self.successResultOf(self.ask_for_event(K1, K2))
        self.assertEqual(self.client.asked, [])

    def test_keys_of_events_are_fetched(self) -> None:
        """Where no key of an event is known, they are fetched."""
        self.store(document(K3))
        asked = self.ask_for_event(K1, K2)
        self.client.answer(document(K1, K3))
        self.assertEqual(self.successResultOf(asked), {K1: key(K1)})

    def test_keys_of_events_cannot_be_fetched(self) -> None:
        """Where the keys of an event cannot be fetched, there are none."""
        asked = self.ask_for_event(K1)
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.successResultOf(asked), {})

    def test_a_key_of_an_event_is_fetched_again(self) -> None:
        """An event that is newer than its key's validity has its key fetched again."""
        self.store(document(K1))
        asked = self.ask_for_event(K1, at=NOW + 2 * HOUR)
        self.assertNoResult(asked)
        self.client.answer(document(K1, until=NOW + 2 * HOUR))
        self.assertEqual(self.successResultOf(asked), {K1: key(K1)})


UNTIL, EXPIRED = NOW + HOUR, NOW - HOUR
CURRENT = document(K1, until=UNTIL)
OLD = document(K2, old=[(K1, EXPIRED)])
WITHOUT = document(K2)

# (what is known of the key, room versions, time of the event, is it good for that?)
# Room Versions 1 to 4 ignore the validity, 5 and later enforce it; an old key is good
# for the events of its time in all of them.
EVENT_KEYS: list[tuple[str, KeyDocument, str, int, bool]] = [
    ("current, long before", CURRENT, "1 2 3 4 5 6 7 8 9 10 11 12", 0, True),
    ("current, at its end", CURRENT, "1 2 3 4 5 6 7 8 9 10 11 12", UNTIL, True),
    ("current, after its end", CURRENT, "1 2 3 4", UNTIL + 1, True),
    ("current, after its end", CURRENT, "5 6 7 8 9 10 11 12", UNTIL + 1, False),
    ("old, before its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED - 1, True),
    ("old, at its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED, True),
    ("old, after its end", OLD, "1 2 3 4 5 6 7 8 9 10 11 12", EXPIRED + 1, False),
    ("not known", WITHOUT, "1 2 3 4 5 6 7 8 9 10 11 12", NOW, False),
]


@pytest.mark.parametrize(
    ("known", "version", "at", "is_good"),
    [
        pytest.param(known, version, at, is_good, id=f"{name}, version {version}")
        for name, known, versions, at, is_good in EVENT_KEYS
        for version in versions.split()
    ],
)
def test_event_key(known: KeyDocument, version: str, at: int, is_good: bool) -> None:  # noqa: FBT001
    """A key verifies an event by the rules of the event's room version."""
    case = KeyringTests()
    case.setUp()
    case.store(known)
    asked = case.ask_for_event(K1, at=at, version=version)
    if not is_good:
        case.assertNoResult(asked)
        case.client.answer(known)
    assert case.successResultOf(asked) == ({K1: key(K1)} if is_good else {})
