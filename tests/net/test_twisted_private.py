"""The private names of Twisted that are needed exist, and mean what is assumed."""

import inspect
from importlib import metadata

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols import tls
from twisted.web import _newclient, http
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Details, Exchange
from homeserver.net.twisted_private import (
    ClientProtocol,
    ClientRequest,
    RequestNotSent,
    is_idle,
)
from tests.support.coroutines import result_of
from tests.support.http_connection import Connection, request, site
from tests.support.manual_resource import Desk
from tests.support.tables import cases

NEEDED = (26, 10)
"""The first version of Twisted in which all of them were found."""


def test_version() -> None:
    """The installed version is one in which these names were found."""
    major, minor, *_ = metadata.version("twisted").split(".")
    assert (int(major), int(minor)) >= NEEDED


NAMES: list[tuple[type, str]] = [
    (http.HTTPChannel, "_handlingRequest"),
    (http.HTTPChannel, "_command"),
    (http.HTTPChannel, "_path"),
    (http.HTTPChannel, "_version"),
    (http.HTTPChannel, "_networkProducer"),
    (http.HTTPChannel, "_respondToBadRequestAndDisconnect"),
    (http.HTTPChannel, "_send100Continue"),
    (tls.TLSMemoryBIOProtocol, "_handshakeDone"),
    (tls.TLSMemoryBIOProtocol, "_tlsConnection"),
    (tls.TLSMemoryBIOProtocol, "_reason"),
    (tls.TLSMemoryBIOProtocol, "_checkHandshakeStatus"),
    (tls.TLSMemoryBIOProtocol, "_producer"),
    (tls.TLSMemoryBIOProtocol, "_shutdownTLS"),
    (tls.TLSMemoryBIOProtocol, "_lostTLSConnection"),
    (tls.TLSMemoryBIOFactory, "_creatorCallable"),
    (tls.TLSMemoryBIOProtocol, "_tlsShutdownFinished"),
    (_newclient.HTTP11ClientProtocol, "QUIESCENT"),
    (_newclient.HTTP11ClientProtocol, "_parser"),
    (_newclient.HTTP11ClientProtocol, "request.writeTo"),
    (_newclient.HTTPClientParser, "statusReceived"),
    (_newclient.HTTPParser, "lineReceived"),
    (_newclient.HTTPParser, "_partialHeader"),
    (_newclient.HTTPParser, "connHeaders"),
    (_newclient.HTTPClientParser, "allHeadersReceived"),
    (tls.TLSMemoryBIOProtocol, "self._write(bytes)"),
    (tls.BufferingTLSTransport, "_aggregator"),
    (tls._AggregateSmallWrites, "flush"),
]


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=[name for _, name in NAMES])
def test_name(kind: type, name: str) -> None:
    """Twisted's own code has the name."""
    assert name in inspect.getsource(kind)


def test_request_under_way() -> None:
    """A channel knows its first line until the request is complete."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    channel = connection._protocol
    head = request("PUT", "/a?b", ["Content-Length: 1"])
    connection.send(head)
    assert channel.first_line == (b"PUT", b"/a?b")  # type: ignore[attr-defined]
    assert channel.http_version == b"HTTP/1.1"  # type: ignore[attr-defined]
    connection.lose()


def test_idle_client() -> None:
    """A client is idle before a request and after its response."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    assert is_idle(client)
    headers = Headers({"Host": ["a.test"]})
    client.request(ClientRequest(b"GET", b"/", headers, None, persistent=True))
    assert not is_idle(client)
    client.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert is_idle(client)
    assert not is_idle(None)


def client_request() -> ClientRequest:
    """A request that can be sent."""
    headers = Headers({"host": ["a.test"], "X-odd": ["1"]})
    return ClientRequest(b"GET", b"/a?b", headers, None, persistent=True)


def test_copies_of_a_request_and_its_response() -> None:
    """Both are copied byte by byte, and nothing of what passes without details."""
    client, transport = ClientProtocol(), StringTransport()
    client.makeConnection(transport)
    details = Details(Clock(), 0, 0.0)
    client.request(client_request(), details)
    sent = transport.value()
    response = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-ODD:1\r\n"
    response += b"content-length: 0\r\n\r\n"
    client.dataReceived(response)
    client.request(client_request())
    client.dataReceived(response)
    assert sent.startswith(b"GET /a?b HTTP/1.1\r\n")
    assert (bytes(details.sent), bytes(details.received)) == (sent, response)


def test_copies_beside_a_request_that_is_not_sent() -> None:
    """A response is copied to the request that is under way, and to no other one."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    details, other = Details(Clock(), 0, 0.0), Details(Clock(), 0, 0.0)
    client.request(client_request(), details)
    refused = client.request(client_request(), other)
    refused.addErrback(lambda failure: failure.trap(RequestNotSent))
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    client.dataReceived(response)
    assert bytes(details.received) == response
    assert not other.sent
    assert not other.received


_OK = b"HTTP/1.1 200 OK\r\n"

BAD_HEADS: list[tuple[str, bytes, str]] = [
    ("a negative status", b"HTTP/1.1 -1 OK\r\n", "HTTP/1.1 -1 OK'"),
    ("a status of nothing", b"HTTP/1.1 0 OK\r\n", "HTTP/1.1 0 OK'"),
    ("a status with a sign", b"HTTP/1.1 +20 OK\r\n", "HTTP/1.1 +20 OK'"),
    ("a status as Python has it", b"HTTP/1.1 2_0 OK\r\n", "HTTP/1.1 2_0 OK'"),
    ("a long status", b"HTTP/1.1 1000 OK\r\n", "HTTP/1.1 1000 OK'"),
    ("another version", b"HTTP/9.9 200 OK\r\n", "HTTP/9.9 200 OK'"),
    ("a line without a colon", _OK + b"nothing\r\nA: 1\r\n", "nothing'"),
    ("the same at the end", _OK + b"nothing\r\n\r\n", "nothing'"),
    ("a line that goes on from none", _OK + b" A: 1\r\n", " A: 1'"),
    ("no name", _OK + b": 1\r\n\r\n", ": 1'"),
    ("a name that is none", _OK + b"caf\xe9: 1\r\n\r\n", "caf\\xe9: 1'"),
    (
        "a negative length",
        _OK + b"Content-Length: -1\r\nA: 1\r\n\r\n",
        "Content-Length: -1'",
    ),
    (
        "two lengths",
        _OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "Content-Length: 1; Content-Length: 2'",
    ),
    (
        "an endless length",
        _OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        "Content-Length: 999",
    ),
    (
        "another coding",
        _OK + b"Transfer-Encoding: gzip\r\nA: 1\r\n\r\n",
        "Transfer-Encoding: gzip'",
    ),
]


async def _answered(head: bytes, details: Details | None = None) -> IResponse:
    """What a client makes of the head of a response."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    asked = client.request(client_request(), details)
    client.dataReceived(head)
    return await asked


@pytest.mark.parametrize("is_recorded", [False, True])
@cases("head line", BAD_HEADS)
def test_bad_heads(head: bytes, line: str, *, is_recorded: bool) -> None:
    """A head that is not HTTP is refused with the line that is wrong."""
    details = Details(Clock(), 0, 0.0) if is_recorded else None
    with pytest.raises(ResponseFailed) as failed:
        result_of(_answered(head, details))
    if details is not None:
        exchange = Exchange("request", "out", details=details)
        details.read_copies(exchange)
        assert details.request.start_line == "GET /a?b HTTP/1.1"
    assert describe(failed.value).startswith(f"it is not HTTP: '{line}")


@cases("head", [("status", b"HTTP/1.1 200 "), ("header", _OK + b"A: ")])
def test_a_line_without_an_end(head: bytes) -> None:
    """It is refused as such: the peer has not ended the connection."""
    with pytest.raises(ResponseFailed) as failed:
        result_of(_answered(head + b"x" * 16385))
    assert describe(failed.value) == "a line of its head has over 16384 bytes"


@pytest.mark.parametrize(
    "line", ["HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 299 \xe9"]
)
def test_odd_heads(line: str) -> None:
    """What is odd and can be read is read."""
    head = line.encode("latin-1") + b"\r\nA: 1\r\n b\r\n\r\n"
    response = result_of(_answered(head))
    assert response.headers.getRawHeaders("A") == ["1 b"]
