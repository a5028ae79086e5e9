"""How PDUs are checked together: in rounds, in slices, and known ones only once."""

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Events
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.received import (
    ReceivedStore,
    ReceivedTransaction,
)
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.pdus import create, message, sign
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    SlowKeys,
    signing_key,
)


class _FailingKeys(KnownKeys):
    """A keyring that fetches no key."""

    async def event_keys(
        self,
        server_name: ServerName,
        events: Sequence[SignedEvent],
        cause: Cause,
        failed: set[ServerName] | None = None,
    ) -> Sequence[Mapping[KeyId, VerifyKey]]:
        """No keys; a server that is asked fails."""
        if failed is not None and server_name not in failed:
            failed.add(server_name)
            await super().event_keys(server_name, events, cause)
        return [{} for _ in events]


class PduCheckerTests(SynchronousTestCase):
    """A checker with a store of its own."""

    def setUp(self) -> None:
        """Make the checker, which knows the keys of two servers."""
        self.clock = Clock()
        self.store = ReceivedStore(MemoryDatabase(), OUR_NAME, Changes(self.clock))
        self.keys = KnownKeys(THEM, OTHERS)
        self.recorded = 0
        self.checker = PduChecker(
            self.store, self.keys, self.clock, Pace(self.clock), Events()
        )

    def verdicts(self, *pdus: Json) -> Sequence[JudgedPdu]:
        """The verdicts on PDUs."""
        checking = Deferred.fromCoroutine(
            self.checker.check(pdus, THEM.server_name, OURSELVES)
        )
        return self.successResultOf(checking)

    def record(self, *pdus: Json) -> None:
        """PduChecker PDUs, and record them as one transaction."""
        judged = self.verdicts(*pdus)
        self.recorded += 1
        received = ReceivedTransaction(
            ServerName.parse("x.example"),
            str(self.recorded),
            0,
            "ed25519:x",
            None,
            judged,
            [],
            [],
            b"",
        )
        self.successResultOf(Deferred.fromCoroutine(self.store.record(received)))
        self.keys.asked.clear()

    def test_servers_fail_once_in_a_transaction(self) -> None:
        """However many room versions are tried, a server without keys is asked once."""
        keys = _FailingKeys()
        checker = PduChecker(self.store, keys, self.clock, Pace(self.clock), Events())
        checking = checker.check([message(), message()], THEM.server_name, OURSELVES)
        for judged in self.successResultOf(Deferred.fromCoroutine(checking)):
            self.assertIn("valid in none", judged.verdict)
        self.assertEqual({name for name, _, _ in keys.asked}, {THEM.server_name})
        self.assertEqual(len(keys.causes), 1)

    def test_known_event_without_signatures(self) -> None:
        """An event that was accepted is accepted again, without anybody's keys."""
        pdu = message()
        self.record(pdu)
        [judged] = self.verdicts(pdu | {"signatures": {}})
        self.assertEqual(judged.verdict, "accepted")
        self.assertEqual(self.keys.asked, [])

    def test_known_event_with_its_signatures(self) -> None:
        """Signatures that come with a copy of it are verified."""
        pdu = message()
        self.record(pdu)
        [judged] = self.verdicts(pdu)
        self.assertEqual(judged.verdict, "accepted")
        forged = {"them.example": {THEM.key.key_id: "A" * 86}}
        [judged] = self.verdicts(pdu | {"signatures": forged})
        self.assertIn("rejected: signature does not verify", judged.verdict)

    def test_known_event_whose_keys_are_gone(self) -> None:
        """Signatures on a copy that no key verifies are said to be not verified."""
        pdu = message()
        self.record(pdu)
        self.keys.lose(THEM)
        note = (
            "known by its ID; the signatures of them.example on this copy were not "
            "verified, as their keys are missing"
        )
        changed = pdu | {"content": {"body": "changed"}}
        first, second, third = self.verdicts(pdu, changed, message(depth=9))
        self.assertEqual(first.verdict, f"accepted: {note}")
        self.assertEqual(first.outcome, "accepted")
        self.assertEqual(second.verdict, f"redacted: content hash; {note}")
        self.assertIn("is not signed by a known key", third.verdict)

    def test_known_event_whose_keys_come_too_late(self) -> None:
        """An event is known all the same where its keys do not come in time."""
        pdu = message()
        self.record(pdu)
        keys = SlowKeys(THEM)
        pace = Pace(self.clock)
        checker = PduChecker(self.store, keys, self.clock, pace, Events())
        checking = Deferred.fromCoroutine(
            checker.check([pdu], THEM.server_name, OURSELVES)
        )
        self.assertNoResult(checking)
        self.clock.advance(20)
        [judged] = self.successResultOf(checking)
        self.assertIn("accepted: known by its ID; ", judged.verdict)

    def test_known_event_with_another_content(self) -> None:
        """What its ID does not cover is checked of a known event, too."""
        pdu = message()
        self.record(pdu)
        [judged] = self.verdicts(pdu | {"content": {"body": "changed"}})
        self.assertEqual(judged.verdict, "redacted: content hash")

    def test_rejected_event_is_verified_again(self) -> None:
        """An event that was rejected may come with a good signature."""
        pdu = message()
        self.record(pdu | {"signatures": {}})
        [judged] = self.verdicts(pdu)
        self.assertEqual(judged.verdict, "accepted")
        self.assertNotEqual(self.keys.asked, [])

    def test_id_that_does_not_cover_the_authorising_server(self) -> None:
        """A stripped copy makes nobody a signer who has to sign the whole event.

        Redaction of version 8 takes `join_authorised_via_users_server` away: both have
        one ID.
        """
        via: Json = {"join_authorised_via_users_server": f"@b:{OTHERS.server_name}"}
        whole = message(
            "8",
            type="m.room.member",
            state_key="@a:them.example",
            content={"membership": "join"} | via,
        )
        stripped = whole | {"content": {"membership": "join"}}
        self.record(create("8"), stripped)
        [known] = self.verdicts(stripped | {"signatures": {}})
        self.assertEqual(known.verdict, "redacted: content hash")
        for signatures in ({}, whole["signatures"]):
            [judged] = self.verdicts(whole | {"signatures": signatures})
            self.assertIn(f"by {OTHERS.server_name} is not signed by", judged.verdict)
            self.assertEqual(judged.event_id, known.event_id)
        signed = sign(whole, "8", OTHERS)
        self.record(signed)
        [judged] = self.verdicts(signed | {"signatures": {}})
        self.assertEqual(judged.verdict, "accepted")

    def test_id_of_a_third_party_invite_proves_no_other_invite(self) -> None:
        """An unsigned third-party invite makes no signed invite of the same ID."""
        invite = message(
            "10",
            type="m.room.member",
            state_key="@b:x.example",
            content={"membership": "invite"},
        ) | {"signatures": {}}
        third_party: Json = {"membership": "invite", "third_party_invite": {}}
        self.record(create("10"), invite | {"content": third_party})
        [judged] = self.verdicts(invite)
        self.assertIn("rejected: ", judged.verdict)
        self.assertIn("by them.example is not signed by a known key", judged.verdict)

    def test_signers_are_recorded_once(self) -> None:
        """A known copy adds nothing to what is known of its event."""
        pdu = message()
        [first] = self.verdicts(pdu)
        self.assertEqual(first.signers, {THEM.server_name})
        self.record(pdu)
        [again] = self.verdicts(pdu)
        self.assertEqual(again.signers, frozenset())

    def test_event_of_another_version_is_verified(self) -> None:
        """The same ID is of the same event only where it is of the same version."""
        self.record(create("6"), message("6"))
        [judged] = self.verdicts(message("6") | {"signatures": {}})
        self.assertEqual(judged.verdict, "accepted")
        unknown = message("10", room_id="!other:them.example") | {"signatures": {}}
        [judged] = self.verdicts(unknown)
        self.assertTrue(judged.verdict.startswith("rejected: "))

    def test_chosen_ids_prove_nothing(self) -> None:
        """An event of version 1 is verified each time: its sender chose its ID."""
        pdu = message("1")
        self.record(pdu)
        [judged] = self.verdicts(pdu)
        self.assertEqual((judged.verdict, judged.signers), ("accepted", frozenset()))
        [judged] = self.verdicts(pdu | {"signatures": {}})
        self.assertTrue(judged.verdict.startswith("rejected: "))

    def test_every_signature_of_a_known_key_counts(self) -> None:
        """One bad signature by a key of the sender's server is one too many.

        One by a key that is not known is passed over.
        """
        other = Peer(THEM.server_name, signing_key("t_2", b"4"))
        pdu = sign(message(), "11", other)
        forged = sign(message(depth=9), "11", other)["signatures"]
        bad = message()
        bad["signatures"] = {
            "them.example": {
                **as_object(as_object(bad["signatures"], "")["them.example"], ""),
                "ed25519:t_2": as_object(as_object(forged, "")["them.example"], "")[
                    "ed25519:t_2"
                ],
            }
        }
        [judged] = self.verdicts(bad)
        self.assertEqual(judged.verdict, "accepted")
        self.keys.learn(other)
        good, again = self.verdicts(pdu, bad)
        self.assertEqual(good.verdict, "accepted")
        self.assertIn("signature does not verify: ed25519:t_2", again.verdict)

    def test_signature_that_cannot_be_read(self) -> None:
        """It rejects an event where its key is known, and is passed over elsewhere."""
        pdu = message()
        of_them = as_object(as_object(pdu["signatures"], "")["them.example"], "")
        for text in ("AAAA", "*", 5):
            bad = pdu | {
                "signatures": {"them.example": of_them | {"ed25519:x": text}},
            }
            [judged] = self.verdicts(bad)
            self.assertEqual(judged.verdict, "accepted")
        bad = pdu | {"signatures": {"them.example": {"ed25519:t_1": "AAAA"}}}
        [judged] = self.verdicts(bad)
        self.assertIn(
            "the signature by ed25519:t_1 of them.example has 3 bytes", judged.verdict
        )

    def test_signature_of_a_policy_server(self) -> None:
        """It is passed over, even where its server publishes a key of that ID."""
        policy = Peer(THEM.server_name, signing_key("policy_server", b"4"))
        self.keys.learn(policy)
        good = sign(message(), "11", policy)
        of_them = as_object(as_object(good["signatures"], "")["them.example"], "")
        own = {"ed25519:t_1": of_them["ed25519:t_1"]}
        of_policy = {"ed25519:policy_server": of_them["ed25519:policy_server"]}
        unreadable = {"ed25519:policy_server": "AAAA"}
        first, second, third = self.verdicts(
            *(
                good | {"signatures": {"them.example": those}}
                for those in (own | of_policy, own | unreadable, of_policy)
            )
        )
        self.assertEqual((first.verdict, second.verdict), ("accepted", "accepted"))
        self.assertIn("is not signed by a known key", third.verdict)

    def test_each_has_its_own_verdict(self) -> None:
        """Of many PDUs, each gets what it deserves, in its place."""
        good = [message(depth=number) for number in range(9)]
        foreign = sign(message(signatures=None), "12", OTHERS)
        bad: Json = foreign | {"signatures": {"them.example": {}}}
        pdus: list[Json] = [*good[:4], bad, {"type": 5}, *good[4:]]
        verdicts = [each.verdict.split(":")[0] for each in self.verdicts(*pdus)]
        expected = ["accepted"] * 4 + ["rejected"] * 2 + ["accepted"] * 5
        self.assertEqual(verdicts, expected)

    def turns(self, *pdus: Json) -> int:
        """The turns of the reactor that it takes where time flies."""

        class Busy(Clock):
            """A clock that goes on by two milliseconds at each look."""

            turns = 0

            def seconds(self) -> float:
                """As `IReactorTime`."""
                self.rightNow += 0.002
                return super().seconds()

            def callLater(self, *arguments: Any, **named: Any) -> IDelayedCall:
                """As `IReactorTime`."""
                self.turns += 1
                return super().callLater(*arguments, **named)

        clock = Busy()
        checker = PduChecker(self.store, self.keys, clock, Pace(clock), Events())
        checking = Deferred.fromCoroutine(
            checker.check(pdus, THEM.server_name, OURSELVES)
        )
        self.assertNoResult(checking)
        clock.pump([0.0] * 100)
        self.assertEqual(len(self.successResultOf(checking)), len(pdus))
        return clock.turns

    def test_others_have_their_turn(self) -> None:
        """Between two PDUs of a long transaction the checker pauses."""
        self.assertGreater(self.turns(message(), message(depth=9)), 1)

    def test_others_have_their_turn_between_signatures(self) -> None:
        """The checker pauses between two signatures of one event."""
        pdu = message()
        few = self.turns(pdu)
        for number in range(20):
            key = signing_key(f"t_{number + 2}")
            peer = Peer(THEM.server_name, key)
            self.keys.learn(peer)
            pdu = sign(pdu, "11", peer)
        self.assertGreater(self.turns(pdu), few + 19)

    def test_others_have_their_turn_where_nothing_is_verified(self) -> None:
        """The checker pauses before each verdict on events that need no signature."""
        content: Json = {"membership": "invite", "third_party_invite": {}}
        invites = [
            message(type="m.room.member", state_key=f"@{n}:x", content=content)
            | {"signatures": {}}
            for n in range(20)
        ]
        # In each of several versions, and for the verdict in the end.
        self.assertGreater(self.turns(*invites), 12 * 20)

    def test_others_have_their_turn_while_verdicts_are_made(self) -> None:
        """What is read and what is said of a bad PDU are each a work of their own."""
        bad: list[Json] = [FlawedItem({}, "bad", "")] * 20
        self.assertGreater(self.turns(*bad), 2 * 20)
