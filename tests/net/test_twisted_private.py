"""The private names of Twisted that are needed exist, and mean what is assumed."""

import inspect
from importlib import metadata

import pytest
from twisted.internet.testing import StringTransport
from twisted.protocols import tls
from twisted.web import _newclient, http
from twisted.web.http_headers import Headers

from homeserver.net.twisted_private import (
    ClientProtocol,
    ClientRequest,
    RequestNotSent,
    is_idle,
)
from tests.support.http_connection import Connection, request, site
from tests.support.manual_resource import Desk

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
    (_newclient.HTTPParser, "headerReceived"),
    (_newclient.HTTPClientParser, "statusReceived"),
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


def test_headers_of_a_response() -> None:
    """They are kept as they came: their case, their order, and those of the length."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    client.received = kept = list[tuple[str, str]]()
    headers = Headers({"Host": ["a.test"]})
    client.request(ClientRequest(b"GET", b"/", headers, None, persistent=True))
    client.dataReceived(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
    client.dataReceived(b"HTTP/1.1 200 OK\r\nx-ODD: 1\r\ncontent-length: 0\r\n")
    client.dataReceived(b"Connection: close\r\nX-odd:  2\r\n\r\n")
    assert kept == [
        ("x-ODD", "1"),
        ("content-length", "0"),
        ("Connection", "close"),
        ("X-odd", "2"),
    ]


def test_headers_of_an_interim_response_alone() -> None:
    """A response without headers has none, whatever came before it."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    client.received = kept = list[tuple[str, str]]()
    request = ClientRequest(b"GET", b"/", Headers({"Host": ["a.test"]}), None)
    client.request(request)
    client.dataReceived(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
    assert kept == [("Link", "a")]
    client.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
    assert kept == []


def test_headers_beside_a_request_that_is_not_sent() -> None:
    """They go to the request that is under way, once each."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    client.received = kept = list[tuple[str, str]]()
    client.request(ClientRequest(b"GET", b"/", Headers({"Host": ["a.test"]}), None))
    client.received = other = list[tuple[str, str]]()
    refused = client.request(
        ClientRequest(b"GET", b"/", Headers({"Host": ["a.test"]}), None)
    )
    refused.addErrback(lambda failure: failure.trap(RequestNotSent))
    client.dataReceived(b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\n\r\n")
    assert kept == [("A", "1"), ("Content-Length", "0")]
    assert other == []


def test_many_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """To keep one more takes no look at all before it, however many there are."""
    client = ClientProtocol()
    client.makeConnection(StringTransport())
    client.received = kept = list[tuple[str, str]]()
    request = ClientRequest(b"GET", b"/", Headers({"Host": ["a.test"]}), None)
    client.request(request)
    monkeypatch.delattr(Headers, "getAllRawHeaders")
    lines = [b"X-%d: 1\r\n" % number for number in range(20_000)]
    client.dataReceived(b"HTTP/1.1 200 OK\r\n" + b"".join(lines))
    assert len(kept) == len(lines) - 1  # the last one may go on in the next line
