"""One connection: what may be said on it, and how much it may say."""

from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import HTTP11ClientProtocol, ParseError, Request
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver import __version__
from homeserver.net.exchange import Exchange
from homeserver.outbound.transport.connection import (
    MAX_HEAD_BYTES,
    MAX_RESPONSE_BYTES,
    Get,
    NoAnswer,
    PeerConnection,
    Response,
    ResponseTooLarge,
    describe,
    read_body,
)
from tests.support.memory_tls_servers import ok, start
from tests.support.tables import cases

LOST = Failure(error.ConnectionLost())

SECONDS = 10.0
LIMIT = 1000


class Recorder(Protocol):
    """A protocol that a connection is handed over to."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        """Record what came."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Record why it ended."""
        self.lost.append(reason)


class ConnectionTestCase(SynchronousTestCase):
    """A connection whose transport is the test's."""

    def setUp(self) -> None:
        """Make the connection, and let its handshake be over."""
        self.make_connection()
        self.connection.handshakeCompleted()

    def make_connection(self) -> None:
        """Make the connection."""
        self.clock = Clock()
        self.told = Exchange()
        self.transport = StringTransport(lenient=True)
        self.connection = PeerConnection()
        self.connection.makeConnection(self.transport)

    @property
    def is_aborted(self) -> bool:
        """Whether we ended the connection at once."""
        return bool(self.transport.disconnected)

    @property
    def is_ended(self) -> bool:
        """Whether the connection is of no more use, from whichever end."""
        # A body's reader has no other way to end it.
        return self.connection.is_closing or self.transport.producerState == "stopped"

    def receive(self, data: bytes) -> None:
        """Let the peer say something."""
        self.connection.dataReceived(data)

    def lose(self) -> None:
        """Let the connection end."""
        self.transport.connected = False
        self.connection.connectionLost(LOST)

    def ask(self, host: str = "peer.test:8448") -> Deferred[Response]:
        """Fetch something."""
        return start(
            self.connection.fetch(
                Get("/thing?a=b", host, SECONDS, LIMIT), self.told, self.clock
            )
        )


class HandshakeTests(ConnectionTestCase):
    """Before the first request."""

    def setUp(self) -> None:
        """Make the connection."""
        self.make_connection()

    def test_handshake_completes(self) -> None:
        """The end of the handshake fires the Deferred."""
        self.assertNoResult(self.connection.handshake)
        self.connection.handshakeCompleted()
        self.successResultOf(self.connection.handshake)

    def test_handshake_fails(self) -> None:
        """A failed handshake fails the Deferred with its reason."""
        self.connection.connectionLost(Failure(SSL.Error("no cipher")))
        failure = self.failureResultOf(self.connection.handshake, SSL.Error)
        assert str(failure.value) == "no cipher"

    def test_handshake_after_its_time(self) -> None:
        """A handshake may complete, and be lost, after its Deferred was cancelled."""
        waited = self.connection.handshake.addTimeout(SECONDS, self.clock)
        self.clock.advance(SECONDS)
        self.failureResultOf(waited, defer.TimeoutError)
        self.connection.handshakeCompleted()
        self.connection.handshakeCompleted()
        self.lose()

    def test_peer_that_speaks_first(self) -> None:
        """A peer that says anything before it was asked has the wrong protocol."""
        self.connection.handshakeCompleted()
        self.receive(b"220 peer.test ESMTP\r\n")
        assert self.is_aborted
        assert self.connection.is_closing

    def test_is_closing_when_we_end_it(self) -> None:
        """A connection is closing as soon as we have ended it."""
        assert not self.connection.is_closing
        self.transport.loseConnection()
        assert self.connection.is_closing

    def test_is_closing_when_it_is_lost(self) -> None:
        """A connection that is gone is closing."""
        self.connection.handshakeCompleted()
        self.lose()
        assert self.connection.is_closing

    def test_abort(self) -> None:
        """A connection can be ended without the peer's consent."""
        self.connection.abort()
        assert self.is_aborted
        assert self.connection.is_closing


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


class HandOverTests(ConnectionTestCase):
    """After the peer is verified."""

    def test_protocol_has_the_connection(self) -> None:
        """The protocol that takes the connection over reads and writes on it."""
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.assertIs(recorder.transport, self.transport)
        self.receive(b"abc")
        assert recorder.received == b"abc"

    def test_end_is_told_once(self) -> None:
        """The protocol that took the connection over learns of its end, once."""
        self.ask()
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.lose()
        assert recorder.lost == [LOST]

    def test_excess_is_told_once(self) -> None:
        """A response that is too large is the end, and the end is not told again."""
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.receive(b"x" * MAX_RESPONSE_BYTES)
        self.assertFalse(self.is_aborted)
        self.receive(b"x")
        assert self.is_aborted
        self.lose()
        [reason] = recorder.lost
        assert reason.check(ResponseTooLarge)
        assert len(recorder.received) == MAX_RESPONSE_BYTES


CANCELLED = Failure(defer.CancelledError())
GARBAGE = ParseError("wrong number of parts", b"220 ESMTP \x1b[31m")

DESCRIPTIONS: list[tuple[str, Callable[[], Exception], str]] = [
    ("closed", error.ConnectionDone, "the peer ended the connection"),
    ("lost", error.ConnectionLost, "the peer ended the connection"),
    ("aborted", error.ConnectionAborted, "the peer ended the connection"),
    ("time-out", defer.TimeoutError, "no answer in time"),
    ("time-out of TCP", error.TimeoutError, "no answer in time"),
    ("cancelled", defer.CancelledError, "no answer in time"),
    ("wrapped", lambda: ResponseFailed([LOST]), "the peer ended the connection"),
    (
        "cancelled within",
        lambda: ResponseFailed([CANCELLED, LOST]),
        "no answer in time",
    ),
    (
        "wrapped twice",
        lambda: ResponseFailed([Failure(ResponseFailed([LOST]))]),
        "the peer ended the connection",
    ),
    (
        "refused",
        lambda: error.ConnectionRefusedError("x"),
        "Connection was refused by other side: x.",
    ),
    ("in its own words", lambda: ValueError("why"), "why"),
    ("without words", ZeroDivisionError, "ZeroDivisionError"),
    ("nonsense", lambda: GARBAGE, "it is not HTTP: '220 ESMTP \\x1b[31m'"),
    ("control characters", lambda: ValueError("\x1b[31m\n"), "'\\x1b[31m\\n'"),
]


@cases("problem words", DESCRIPTIONS)
def test_describe(problem: Callable[[], Exception], words: str) -> None:
    """What happened is told in words that a person can use."""
    assert describe(problem()) == words


def test_description_is_bounded() -> None:
    """A peer's nonsense is told in part."""
    described = describe(ParseError("wrong number of parts", b"\0" * 16384))
    assert len(described) <= 200
