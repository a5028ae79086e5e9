"""What the answer to a transaction means."""

from twisted.web.http import PotentialDataLoss

from homeserver.outbound.client import Delivery
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import encode
from tests.support.manual_agent import LINK, PEER, ClientTestCase


class ReplyTests(ClientTestCase):
    """What answers mean."""

    def test_object(self) -> None:
        """A 200 with an object is a delivery with a reply, and says on what link."""
        answered = self.answer(200, b'{"pd', b'us":{}}')
        assert self.successResultOf(answered) == Delivery({"pdus": {}}, LINK)

    def test_no_object(self) -> None:
        """A 200 with anything else is a no, told with its first bytes."""
        for body in (b"null", b"", b"[]", b"[200, {}]", b"<html>", b"\xff", b'{"a":1'):
            failure = self.failureResultOf(self.answer(200, body), Refused)
            refused = failure.value
            assert isinstance(refused, Refused)
            assert (refused.status, refused.is_final) == (200, False)
            assert str(refused).endswith(f": {repr(body)[1:]}"), str(refused)

    def test_reply_of_2014(self) -> None:
        """With a slash in the path, `null` and nothing are replies, and no more is."""
        for body in (b"null", b"", b" null\n"):
            answered = self.answer(200, body, slash=True)
            assert self.successResultOf(answered) == Delivery(None, LINK)
        for body in (b"[]", b"nul", b"<html>"):
            self.failureResultOf(self.answer(200, body, slash=True), Refused)

    def test_body_without_length(self) -> None:
        """A body that ends with its connection is a whole one."""
        answered = self.answer(200, b"{}", end=PotentialDataLoss())
        assert self.successResultOf(answered) == Delivery({}, LINK)

    def test_refusals(self) -> None:
        """Any other status is a no, whose errcode and reason are told, quoted."""
        cases: list[tuple[int, bytes, str | None, str]] = [
            (
                401,
                b'{"errcode":"M_UNAUTHORIZED","error":"bad signature"}',
                "M_UNAUTHORIZED",
                "401 M_UNAUTHORIZED: 'bad signature'",
            ),
            (400, b'{"errcode":"M_BAD_JSON"}', "M_BAD_JSON", "400 M_BAD_JSON"),
            (500, b'{"error":"oh"}', None, "500 'oh'"),
            (503, b"", None, "503"),
            (502, b"<html>gone</html>", None, "502 '<html>gone</html>'"),
            (404, b"[]", None, "404 '[]'"),
            (403, b'{"errcode":5,"error":[]}', None, "403"),
            (403, b'{"errcode":"M X","error":"x"}', None, "403 'x'"),
            (403, b'{"errcode":"\\u001b[31m","error":"x"}', None, "403 'x'"),
            (403, b'{"errcode":"","error":"\\n\\u202e"}', None, "403 '\\n\\u202e'"),
            (
                403,
                b'{"errcode":"ORG.MATRIX.MSC1_X","error":"x"}',
                "ORG.MATRIX.MSC1_X",
                "403 ORG.MATRIX.MSC1_X: 'x'",
            ),
            (302, b"", None, "302"),
            (204, b"", None, "204"),
            (201, b"{}", None, "201"),
        ]
        for status, body, errcode, said in cases:
            with self.subTest(said):
                failure = self.failureResultOf(self.answer(status, body), Refused)
                refused = failure.value
                assert isinstance(refused, Refused)
                assert refused.destination == PEER
                assert refused.status == status
                assert refused.errcode == errcode
                assert str(refused) == f"peer.test:8448 answers {said}"

    def test_reason_is_told_whole(self) -> None:
        """The reason that a server gives is told to its end, as long as it is one."""
        reason = "Invalid signature for server peer.test with key ed25519:1: " * 6
        body = encode({"error": reason})
        failure = self.failureResultOf(self.answer(401, body), Refused)
        assert str(failure.value) == f"{PEER} answers 401 {reason!r}"

    def test_refusal_is_bounded(self) -> None:
        """However much a peer says, what is told of it is one line."""
        long = b"x" * 100_000
        for body in (
            long,
            b'{"error":"' + long + b'"}',
            b'{"errcode":"' + long + b'"}',
            b'{"errcode":"M_' + long + b'","error":"' + long + b'"}',
        ):
            failure = self.failureResultOf(self.answer(403, body), Refused)
            assert len(str(failure.value)) < 600

    def test_largest_reply(self) -> None:
        """A reply may have half a megabyte and not a byte more."""
        largest = b" " * (512 * 1024 - 2) + b"{}"
        answered = self.answer(200, largest)
        assert self.successResultOf(answered) == Delivery({}, LINK)
        for status in (200, 403):
            answered = self.answer(status, largest, b" ", b" ")
            failure = self.failureResultOf(answered)
            assert (
                str(failure.value) == "peer.test:8448 cannot be reached: PUT "
                "/_matrix/federation/v1/send/1-2: over 524288 bytes"
            )
