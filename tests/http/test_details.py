"""What a record shows of a request."""

import pytest
from twisted.internet.task import Clock

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route, Router
from homeserver.http.site import BoundedSite
from homeserver.net.exchange import Details, Exchange
from homeserver.net.exchanges import Exchanges
from tests.support.http_connection import Connection, chunked, request, site

PUT = request("PUT", "/a?b=c", ["x-ODD: 1", "X-odd:  2 "], b'{"a":1}')


async def tell(request: Request) -> Reply:
    """Answer with the body."""
    body = b"" if request.content is None else request.content.read()
    return Reply(body)


def recording(clock: Clock, recorded: list[Exchange] | None) -> BoundedSite:
    """A site whose requests are recorded there, if anywhere."""
    exchanges = Exchanges(clock)
    if recorded is not None:
        exchanges.record = recorded.append
    router = Router([Route("PUT", "/a", tell), Route("GET", "/a", tell)])
    return site(router, max_body_bytes=10, clock=clock, exchanges=exchanges)


def details_of(recorded: list[Exchange]) -> Details:
    """The details of the one exchange that was recorded."""
    [exchange] = recorded
    assert exchange.details is not None
    return exchange.details


def test_whole_request() -> None:
    """A record has headers as they came, both bodies, and how long each stage took."""
    clock, recorded = Clock(), list[Exchange]()
    connection = Connection(recording(clock, recorded))
    head, body = PUT[:-3], PUT[-3:]
    connection.send(head)
    clock.advance(2)
    connection.send(body)
    [answer] = connection.answers()
    details = details_of(recorded)
    assert list(details.request.headers) == [
        ("x-ODD", "1"),
        ("X-odd", "2"),
        ("Host", "us.example"),
        ("Content-Length", "7"),
    ]
    assert details.request.body == details.response.body == answer.body == b'{"a":1}'
    assert ("Content-Length", "7") in details.response.headers
    assert details.stages == {"arrival": 2.0}
    assert details.tls is None
    assert recorded[0].seconds == 0.0
    connection.lose()


REFUSED = [
    ("by its length", request("PUT", "/a", ["Content-Length: 99"])),
    ("by its bytes", chunked("/a", b"x" * 99)),
]


@pytest.mark.parametrize(
    "data", [each for _, each in REFUSED], ids=[n for n, _ in REFUSED]
)
def test_refused_request(data: bytes) -> None:
    """A record has the head of a request that was refused before its end."""
    recorded: list[Exchange] = []
    connection = Connection(recording(Clock(), recorded))
    connection.send(data)
    details = details_of(recorded)
    assert ("Host", "us.example") in details.request.headers
    assert b"M_TOO_LARGE" in details.response.body
    connection.lose()


def test_nothing_is_taken_without_a_record() -> None:
    """Without a record, no header is kept twice."""
    kept: list[Request] = []

    async def keep(request: Request) -> Reply:
        kept.append(request)
        return json_reply({})

    connection = Connection(site(Router([Route("PUT", "/a", keep)])))
    connection.send(PUT)
    assert kept[0].header_lines == ()
    assert kept[0].exchange.details is None
    connection.lose()


def test_headers_of_a_reply_replace_the_usual_ones() -> None:
    """A record has each header of a response once, as the client gets it."""
    recorded: list[Exchange] = []

    async def page(_: Request) -> Reply:
        return Reply(b"<p>", 200, {"content-type": "text/html", "Content-Length": "9"})

    exchanges = Exchanges(Clock())
    exchanges.record = recorded.append
    router = Router([Route("GET", "/a", page)])
    connection = Connection(site(router, exchanges=exchanges))
    connection.send(request("GET", "/a"))
    headers = details_of(recorded).response.headers
    assert [(name, value) for name, value in headers if name != "Server"] == [
        ("content-type", "text/html"),
        ("Content-Length", "9"),
    ]
    connection.lose()
