"""What a record shows of a request."""

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.http.reply import NO_REPLY, Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route, Router
from homeserver.http.tls_listener import BoundedTls
from homeserver.net.exchange import Details, Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.http_message import Message
from tests.support.certificates import issue_for
from tests.support.http_connection import (
    Connection,
    TlsConnection,
    chunked,
    connections,
    request,
    site,
)
from tests.support.server_tls import OneCertificate
from tests.support.tables import cases

PUT = request("PUT", "/a?b=c", ["x-ODD: 1", "X-odd:  2 "], b'{"a":1}')


async def tell(request: Request) -> Reply:
    """Answer with the body."""
    body = b"" if request.content is None else request.content.read()
    return Reply(body)


class Recorded:
    """A connection to a listener, whose requests are recorded."""

    def __init__(self, answer: Answer = tell) -> None:
        self.clock = Clock()
        self.exchanges: list[Exchange] = []
        exchanges = Exchanges(self.clock)
        exchanges.record = self.exchanges.append
        router = Router([Route("PUT", "/a", answer), Route("GET", "/a", answer)])
        listener = BoundedTls(
            OneCertificate(issue_for("us.example").value),
            site(router, max_body_bytes=10, clock=self.clock, exchanges=exchanges),
            connections(),
            self.clock,
        )
        self.connection = TlsConnection(listener, SSL.Context(SSL.TLS_METHOD))
        self.connection.shake_hands()

    @property
    def details(self) -> Details:
        """The details of the one exchange that was recorded."""
        [exchange] = self.exchanges
        assert exchange.details is not None
        return exchange.details

    @property
    def response(self) -> Message:
        """The response of the one exchange that was recorded."""
        assert self.details.response is not None
        return self.details.response


def test_whole_request() -> None:
    """A record has both messages as they passed, and how long each stage took."""
    recorded = Recorded()
    head, body = PUT[:-3], PUT[-3:]
    recorded.connection.send(head)
    recorded.clock.advance(2)
    recorded.connection.send(body)
    [answer] = recorded.connection.answers()
    details = recorded.details
    assert list(details.request.headers) == [
        ("x-ODD", "1"),
        ("X-odd", "2"),
        ("Host", "us.example"),
        ("Content-Length", "7"),
    ]
    assert details.request.start_line == "PUT /a?b=c HTTP/1.1"
    assert details.target == "/a?b=c"
    assert details.request.body == recorded.response.body == answer.body == b'{"a":1}'
    assert recorded.response.start_line == "HTTP/1.1 200 OK"
    named = {name.lower(): value for name, value in recorded.response.headers}
    assert named == answer.headers
    assert details.stages == {"arrival": 2.0}
    assert details.tls is not None
    assert recorded.exchanges[0].seconds == 0.0
    recorded.connection.lose()


def test_target_with_an_authority() -> None:
    """A target is recorded as it came, whatever it means."""
    recorded = Recorded()
    recorded.connection.send(request("GET", "http://us.example/a?b"))
    assert recorded.details.target == "http://us.example/a?b"
    assert recorded.details.request.start_line == "GET http://us.example/a?b HTTP/1.1"
    assert recorded.exchanges[0].path == "/a"
    recorded.connection.lose()


@cases(
    "data error",
    [
        ("by its length", request("PUT", "/a", ["Content-Length: 99"]), "M_TOO_LARGE"),
        ("by its bytes", chunked("/a", b"x" * 99), "M_TOO_LARGE"),
        (
            "two hosts",
            request("PUT", "/a", ["Host: us.example", "Host: b"]),
            "M_UNKNOWN",
        ),
        ("no header", request("PUT", "/a", ["Host: us.example", "x"]), "M_UNKNOWN"),
    ],
)
def test_refused_request(data: bytes, error: str) -> None:
    """A record has the head of a request that was refused before its end."""
    recorded = Recorded()
    recorded.connection.send(data)
    request = recorded.details.request
    assert ("Host", "us.example") in request.headers
    assert (request.start_line, recorded.details.target) == ("PUT /a HTTP/1.1", "/a")
    [answer] = recorded.connection.answers()
    assert error.encode() in answer.body
    assert recorded.response.body == answer.body
    assert ("Connection", "close") in recorded.response.headers
    recorded.connection.lose()


def test_nothing_is_taken_without_a_record() -> None:
    """Without a record, no header is kept twice."""
    kept: list[Request] = []

    async def keep(request: Request) -> Reply:
        kept.append(request)
        return json_reply({})

    connection = Connection(site(Router([Route("PUT", "/a", keep)])))
    connection.send(PUT)
    assert kept[0].header_lines == ()
    assert kept[0].start_line == b""
    assert kept[0].exchange.details is None
    connection.lose()


def test_headers_of_a_reply_replace_the_usual_ones() -> None:
    """A record has each header of a response once, as the client gets it."""

    async def page(_: Request) -> Reply:
        return Reply(b"<p>", 200, {"content-type": "text/html", "Content-Length": "9"})

    recorded = Recorded(page)
    recorded.connection.send(request("GET", "/a"))
    headers = [each for each in recorded.response.headers if each[0] != "Server"]
    assert headers == [
        ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Content-Type", "text/html"),
        ("Content-Length", "9"),
    ]
    assert (recorded.response.length, recorded.response.is_whole) == (3, False)
    recorded.connection.lose()


def test_responses_of_one_connection() -> None:
    """Each exchange has its own response, also where two requests come at once."""
    recorded = Recorded()
    recorded.connection.send(PUT + request("PUT", "/a", (), b"other"))
    bodies = [
        each.details.response.body
        for each in recorded.exchanges
        if each.details is not None and each.details.response is not None
    ]
    assert bodies == [b'{"a":1}', b"other"]
    recorded.connection.lose()


def test_client_that_is_gone() -> None:
    """A response that nothing was sent of is none, whatever it would have been."""
    answered: Deferred[Reply] = Deferred()
    recorded = Recorded(lambda _: answered)
    recorded.connection.send(request("GET", "/a"))
    recorded.connection.lose()
    answered.callback(Reply(b"{}"))
    [exchange] = recorded.exchanges
    assert (exchange.status, exchange.is_gone) == (200, True)
    assert recorded.details.response is None


def test_nothing_is_sent() -> None:
    """A request without a response has none, and no status."""

    async def none(_: Request) -> Reply:
        return NO_REPLY

    recorded = Recorded(none)
    recorded.connection.send(request("GET", "/a"))
    [exchange] = recorded.exchanges
    assert (exchange.status, exchange.is_gone) == (None, False)
    assert recorded.details.response is None
    assert recorded.connection.answers() == []
    recorded.connection.lose()
