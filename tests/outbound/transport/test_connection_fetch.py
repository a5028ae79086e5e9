"""A document that is fetched on a connection before it is handed over."""

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.web.client import ResponseFailed

from homeserver import __version__
from homeserver.outbound.transport.connection import MAX_HEAD_BYTES, NoAnswer
from homeserver.outbound.transport.response import Response, ResponseTooLarge
from tests.support.connections import LIMIT, SECONDS, ConnectionTestCase
from tests.support.memory_tls_servers import ok


class FetchTests(ConnectionTestCase):
    """Asking for a document."""

    def assert_answer(
        self, asked: Deferred[Response], status: int, body: bytes
    ) -> None:
        """See what came."""
        fetched: Response = self.successResultOf(asked)
        assert (fetched.status, fetched.body) == (status, body)

    def assert_no_answer(
        self, asked: Deferred[Response], why: str, cause: type[Exception]
    ) -> None:
        """See what came instead, and that the connection is of no more use."""
        problem = self.failureResultOf(asked, NoAnswer).value
        assert str(problem) == why
        self.assertIsInstance(problem.__cause__, cause)
        assert self.is_ended

    def test_request(self) -> None:
        """The request has its target, host and user agent, and no more."""
        self.ask()
        head, *lines = self.transport.value().decode().split("\r\n")
        assert head == "GET /thing?a=b HTTP/1.1"
        assert sorted(lines) == [
            "",
            "",
            "Host: peer.test:8448",
            f"User-Agent: homeserver/{__version__}",
        ]

    def test_answer(self) -> None:
        """The status and the body are returned, in however many pieces they come."""
        for pieces in ([ok(b'{"a":1}')], [bytes([byte]) for byte in ok(b'{"a":1}')]):
            asked = self.ask()
            for piece in pieces:
                self.assertNoResult(asked)
                self.receive(piece)
            self.assert_answer(asked, 200, b'{"a":1}')
            assert not self.connection.is_closing

    def test_headers(self) -> None:
        """The headers are returned, whatever bytes are in them."""
        asked = self.ask()
        self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
        self.receive(b"x-odd: caf\xe9\r\nX-Odd: \xff\r\n\r\n")
        headers = self.successResultOf(asked).headers
        assert headers.getRawHeaders(b"X-Odd") == [b"caf\xe9", b"\xff"]

    def test_chunks(self) -> None:
        """A body may come in chunks."""
        asked = self.ask()
        self.receive(
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        )
        self.assert_answer(asked, 404, b"abc")

    def test_no_body(self) -> None:
        """A response that has no body has an empty one."""
        for status in (204, 304):
            asked = self.ask()
            self.receive(b"HTTP/1.1 %d Nothing\r\n\r\n" % status)
            self.assert_answer(asked, status, b"")

    def test_body_that_ends_with_the_connection(self) -> None:
        """A body without a length is over when the connection is."""
        asked = self.ask()
        self.receive(b"HTTP/1.0 200 OK\r\n\r\nab")
        self.receive(b"c")
        self.assertNoResult(asked)
        self.lose()
        self.assert_answer(asked, 200, b"abc")

    def test_last_answer(self) -> None:
        """A connection whose answer says so is closing after it."""
        asked = self.ask()
        self.receive(ok(b"{}", "Connection: close\r\n"))
        self.successResultOf(asked)
        assert self.connection.is_closing

    def test_largest_body(self) -> None:
        """A body may be as large as the limit."""
        asked = self.ask()
        self.receive(ok(b"x" * LIMIT))
        self.assert_answer(asked, 200, b"x" * LIMIT)

    def test_body_too_large(self) -> None:
        """One byte more than the limit ends the connection."""
        asked = self.ask()
        self.receive(ok(b"x" * (LIMIT + 1)))
        self.assert_no_answer(asked, "over 1000 bytes", ResponseTooLarge)

    def test_endless_body(self) -> None:
        """A body that is too large ends the connection before it is whole."""
        asked = self.ask()
        self.receive(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1))
        self.assert_no_answer(asked, "over 1000 bytes", ResponseTooLarge)

    def test_pieces_beyond_the_limit(self) -> None:
        """What still comes of a body that is too large is not looked at."""
        asked = self.ask()
        for _ in range(3):
            self.receive(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LIMIT)
        self.failureResultOf(asked, NoAnswer)

    def receive_head(self, length: int, header: str = "Content-Length: 2\r\n") -> None:
        """Receive so many bytes of a head that does not end."""
        head = b"HTTP/1.1 200 OK\r\n" + header.encode()
        self.receive(head)
        left = length - len(head)
        while left > 1000:
            self.receive(b"X: " + b"a" * 495 + b"\r\n")
            left -= 500
        self.receive(b"X: " + b"a" * (left - 5) + b"\r\n")

    def test_largest_head(self) -> None:
        """A response's head has room of its own beside the body's limit."""
        asked = self.ask()
        self.receive_head(LIMIT + MAX_HEAD_BYTES - 4)
        self.receive(b"\r\n{}")
        self.assert_answer(asked, 200, b"{}")

    def test_head_too_large(self) -> None:
        """One byte more than a head and a body may have ends the connection."""
        asked = self.ask()
        self.receive_head(LIMIT + MAX_HEAD_BYTES)
        self.assertNoResult(asked)
        self.receive(b"\r")
        assert self.is_aborted
        self.assert_no_answer(asked, "over 66536 bytes", ResponseFailed)

    def test_head_and_body_too_large(self) -> None:
        """A body without a length is not whole where the limit cut it off."""
        asked = self.ask()
        self.receive_head(LIMIT + MAX_HEAD_BYTES - 4, "X: no length\r\n")
        self.receive(b"\r\n{}")
        self.assertNoResult(asked)
        self.receive(b" ")
        assert self.is_aborted
        self.assert_no_answer(asked, "over 66536 bytes", ResponseTooLarge)

    def test_no_answer(self) -> None:
        """A peer that ends the connection instead of answering gives no answer."""
        asked = self.ask()
        self.lose()
        self.assert_no_answer(asked, "the peer ended the connection", ResponseFailed)

    def test_nobody_to_ask(self) -> None:
        """A peer that has ended the connection already is not asked."""
        for is_lost in (True, False):
            self.setUp()
            if is_lost:
                self.lose()
            else:
                self.connection.abort()
            self.assert_no_answer(
                self.ask(), "the peer ended the connection", error.ConnectionLost
            )
            assert self.transport.value() == b""

    def test_half_an_answer(self) -> None:
        """An answer that breaks off is none."""
        for piece in (b"HTTP/1.1 200 OK\r\nX: ", ok(b"{}")[:-1]):
            self.setUp()
            asked = self.ask()
            self.receive(piece)
            self.lose()
            self.assert_no_answer(
                asked, "the peer ended the connection", ResponseFailed
            )

    def test_nonsense(self) -> None:
        """What is not HTTP is no answer."""
        for nonsense in (
            b"220 peer.test ESMTP\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ):
            with self.subTest(nonsense):
                self.setUp()
                asked = self.ask()
                self.receive(nonsense)
                problem = self.failureResultOf(asked, NoAnswer).value
                self.assertIsInstance(problem.__cause__, ResponseFailed)
                assert str(problem).isprintable()
                assert self.is_ended

    def test_no_head_in_time(self) -> None:
        """An answer that does not begin in time is given up with its connection."""
        asked = self.ask()
        self.clock.advance(SECONDS - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assert_no_answer(asked, "no answer in time", defer.TimeoutError)
        assert self.is_aborted

    def test_no_body_in_time(self) -> None:
        """An answer that does not end in time is given up with its connection."""
        asked = self.ask()
        self.receive(ok(b"{}")[:-1])
        self.clock.advance(SECONDS)
        self.assert_no_answer(asked, "no answer in time", defer.TimeoutError)

    def test_drip(self) -> None:
        """The time is for the whole answer, however often something comes of it."""
        asked = self.ask()
        for byte in ok(b"{}" * 100)[:10]:
            self.assertNoResult(asked)
            self.receive(bytes([byte]))
            self.clock.advance(SECONDS / 10)
        self.assert_no_answer(asked, "no answer in time", defer.TimeoutError)

    def test_who_asks_may_give_up(self) -> None:
        """A cancelled request is no failure of the peer; the connection is ended."""
        for said in (b"", ok(b"{}")[:-1]):
            self.setUp()
            asked = self.ask()
            self.receive(said)
            asked.cancel()
            self.failureResultOf(asked, defer.CancelledError)
            assert self.is_ended
