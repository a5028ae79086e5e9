"""How the PDUs of a transaction are checked together, and which signatures count.

A server whose keys are missing is asked once. Every signature by a known key counts,
and each PDU has its own verdict.
"""

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred

from homeserver.config.values import Events
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from tests.support.pdu_checker import PduCheckerTestCase
from tests.support.pdus import message, sign
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, Peer, signing_key


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


class PduCheckerTests(PduCheckerTestCase):
    """PDUs whose servers' keys are known, or missing."""

    def test_servers_fail_once_in_a_transaction(self) -> None:
        """However many room versions are tried, a server without keys is asked once."""
        keys = _FailingKeys()
        checker = PduChecker(self.store, keys, self.clock, Pace(self.clock), Events())
        checking = checker.check([message(), message()], THEM.server_name, OURSELVES)
        for judged in self.successResultOf(Deferred.fromCoroutine(checking)):
            self.assertIn("valid in none", judged.verdict)
        self.assertEqual({name for name, _, _ in keys.asked}, {THEM.server_name})
        self.assertEqual(len(keys.causes), 1)

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
