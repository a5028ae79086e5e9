"""How much a peer may say on a connection."""

from twisted.internet.defer import Deferred
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.net.connection_errors import describe
from homeserver.outbound.transport.connection import MAX_RESPONSE_BYTES
from homeserver.outbound.transport.response import read_body
from tests.support.connections import ConnectionTestCase
from tests.support.memory_tls_servers import ok


class LimitTests(ConnectionTestCase):
    """How much a peer may say."""

    def ask_again(self) -> Deferred[IResponse]:
        """Hand the connection over, and send a request."""
        http = HTTP11ClientProtocol()
        self.connection.hand_over(http)
        return self.request(http)

    def request(self, http: HTTP11ClientProtocol) -> Deferred[IResponse]:
        """Send one more request."""
        headers = Headers({"Host": ["peer.test"]})
        return http.request(Request(b"GET", b"/", headers, None, persistent=True))

    def failure(self, asked: Deferred[IResponse]) -> str:
        """How a response failed, which has ended the connection."""
        assert self.is_aborted
        return describe(self.failureResultOf(asked, ResponseFailed).value)

    def test_headers_count(self) -> None:
        """Headers without end are a response that is too large."""
        asked = self.ask_again()
        self.receive(b"HTTP/1.1 200 OK\r\n")
        for _ in range(MAX_RESPONSE_BYTES // 1000):
            self.receive(b"X: " + b"a" * 995 + b"\r\n")
        self.assertNoResult(asked)
        self.receive(b"X: " + b"a" * 995 + b"\r\n")
        assert self.failure(asked) == f"over {MAX_RESPONSE_BYTES} bytes"

    def test_interim_responses_count(self) -> None:
        """Interim responses without end are a response that is too large."""
        asked = self.ask_again()
        interim = b"HTTP/1.1 100 Continue\r\nX: " + b"a" * 1000 + b"\r\n\r\n"
        for _ in range(MAX_RESPONSE_BYTES // len(interim)):
            self.receive(interim)
        self.assertNoResult(asked)
        self.receive(interim)
        assert self.failure(asked) == f"over {MAX_RESPONSE_BYTES} bytes"

    def test_largest_response(self) -> None:
        """Each response may be as large as the limit, headers included."""
        self.connection.hand_over(http := HTTP11ClientProtocol())
        head = ok(b"x" * 1_000_000)[:-1_000_000]
        response = ok(b"x" * (MAX_RESPONSE_BYTES - len(head) - 1))
        assert len(response) <= MAX_RESPONSE_BYTES
        for _ in range(3):
            asked = self.request(http)
            self.receive(response[:100])
            body = read_body(self.successResultOf(asked), MAX_RESPONSE_BYTES)
            self.receive(response[100:])
            assert len(self.successResultOf(body)) == MAX_RESPONSE_BYTES - len(head) - 1

    def test_one_byte_too_many(self) -> None:
        """A response that is one byte over the limit has failed."""
        asked = self.ask_again()
        response = ok(b"x" * MAX_RESPONSE_BYTES)
        self.receive(response[:100])
        body = read_body(self.successResultOf(asked), 2 * MAX_RESPONSE_BYTES)
        self.receive(response[100:MAX_RESPONSE_BYTES])
        self.assertNoResult(body)
        self.receive(b"x")
        failure = self.failureResultOf(body, ResponseFailed)
        assert describe(failure.value) == f"over {MAX_RESPONSE_BYTES} bytes"
        assert self.is_aborted

    def test_what_is_fetched_does_not_count(self) -> None:
        """What came before the connection was handed over does not count after it."""
        asked = self.ask()
        self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
        for _ in range(60):
            self.receive(b"X: " + b"a" * 995 + b"\r\n")
        self.receive(b"\r\n{}")
        self.successResultOf(asked)
        again = self.ask_again()
        self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
        for _ in range(1000):
            self.receive(b"X: " + b"a" * 995 + b"\r\n")
        self.receive(b"\r\n")
        self.successResultOf(again)

    def test_each_answer_counts_alone(self) -> None:
        """What was fetched before does not count when something else is."""
        for _ in range(3):
            asked = self.ask()
            self.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
            for _ in range(60):
                self.receive(b"X: " + b"a" * 995 + b"\r\n")
            self.receive(b"\r\n{}")
            self.successResultOf(asked)

    def test_bytes_after_an_answer(self) -> None:
        """A peer that says more than it was asked for is not asked again."""
        self.connection.hand_over(http := HTTP11ClientProtocol())
        asked = self.request(http)
        self.receive(ok(b""))
        self.successResultOf(asked)
        assert not self.connection.is_closing
        self.receive(ok(b"{}"))
        assert self.is_aborted

    def test_bytes_after_what_is_fetched(self) -> None:
        """An answer to a question that was not asked yet is not taken for one."""
        asked = self.ask()
        self.receive(ok(b"{}"))
        self.successResultOf(asked)
        self.receive(ok(b'{"pdus":{}}'))
        assert self.is_aborted
        assert self.connection.is_closing

    def test_bytes_before_the_first_request(self) -> None:
        """An answer that comes before the request is not taken for one."""
        self.connection.hand_over(HTTP11ClientProtocol())
        self.receive(ok(b"{}"))
        assert self.is_aborted
