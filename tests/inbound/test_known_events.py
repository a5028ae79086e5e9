"""PDUs of events that were verified before.

An event is recognised by its ID where that covers what its servers sign. Signatures on
a copy are verified again; a missing key does not reject the copy.
"""

from twisted.internet.defer import Deferred

from homeserver.config.values import Events
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import OURSELVES
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json
from tests.support.pdu_checker import PduCheckerTestCase
from tests.support.pdus import create, message, sign
from tests.support.signed_requests import OTHERS, THEM, SlowKeys


class KnownEventTests(PduCheckerTestCase):
    """Copies of events that were recorded."""

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
