"""A server of HTTP without TLS, to which a well-known document may lead.

Rules: it gives one answer to whatever comes, and ends each connection after it. What
came is kept as the first lines of requests, a few of them.

Specification: RFC 9112.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, Protocol

_MAX_HEAD = 2**16  # bytes of a request; more is none
_MAX_NOTED = 20


class PlainServer(Factory):
    """Answers each request with one document."""

    noisy = False

    def __init__(self, body: bytes) -> None:
        """`body` is JSON."""
        self.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        self.asked: list[str] = []
        """The first line of each request."""

    def buildProtocol(self, addr: object) -> Protocol:
        """As `IProtocolFactory`."""
        return _Connection(self)


class _Connection(Protocol):
    """One request."""

    def __init__(self, server: PlainServer) -> None:
        self._server = server
        self._head = b""
        self._is_answered = False

    def dataReceived(self, data: bytes) -> None:
        """As `Protocol`."""
        transport = cast("ITCPTransport", self.transport)
        if self._is_answered:
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._is_answered = True
            if len(self._server.asked) < _MAX_NOTED:
                line = self._head.partition(b"\r\n")[0]
                self._server.asked.append(line.decode("latin-1"))
            transport.write(self._server.answer)
            transport.loseConnection()
        elif len(self._head) > _MAX_HEAD:
            transport.abortConnection()


@contextmanager
def plain_server(
    reactor: PosixReactorBase, host: str, body: bytes
) -> Iterator[tuple[PlainServer, int]]:
    """A server at a free port of an address, for as long as the context; its port."""
    server = PlainServer(body)
    port: IListeningPort = reactor.listenTCP(0, server, interface=host)
    try:
        yield server, cast("IPv4Address", port.getHost()).port
    finally:
        port.stopListening()
