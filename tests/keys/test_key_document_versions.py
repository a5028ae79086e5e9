"""Which versions of a server's key document are asked for."""

from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import BadJson, Unauthorized
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument
from tests.support.keyrings import (
    K1,
    REFUSED,
    UNREACHABLE,
    A,
    KeyringCase,
    document,
    key,
)

BAD = BadJson("`verify_keys` is not a JSON object")


class VersionTests(KeyringCase):
    """Version 1, where there is no version 2."""

    def show(self, shown: KeyDocument) -> None:
        """Let the server be verified now by a document."""
        now_ts = int(self.clock.seconds() * 1000)
        self.client.peer = VerifiedPeer(
            A, "key-document", b"DER", shown, verified_ts=now_ts
        )

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
