"""TLS servers on loopback that say what they are told to, and record what they receive.

Whether one is a website with a well-known document or a peer is a matter of what is
asked of it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.certificates import Issued
from tests.support.name_servers import end
from tests.support.recording_peers import http
from tests.support.waiting import reactor

WELL_KNOWN = "/.well-known/matrix/server"

_HEAD = re.compile(rb"([A-Z]+) (\S+) HTTP/1.1\r\n(.*?\r\n)\r\n", re.DOTALL)
_HOST = re.compile(rb"^Host: (.*)\r$", re.MULTILINE | re.IGNORECASE)
_LENGTH = re.compile(rb"^Content-Length: (\d+)\r$", re.MULTILINE | re.IGNORECASE)


class Conversation(Protocol):
    """One connection, inside TLS."""

    def __init__(self, server: "TlsServer") -> None:
        self._server = server
        self._unread = b""
        self.received = b""
        """Every byte that came after the handshake."""

        self.is_over = False

    @property
    def tls(self) -> TLSMemoryBIOProtocol:
        """The transport."""
        return cast("TLSMemoryBIOProtocol", self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Answer each request when it is there whole."""
        self.received += data
        self._unread += data
        while head := _HEAD.match(self._unread):
            method, target, headers = head.groups()
            length = _LENGTH.search(headers)
            end = head.end() + (int(length[1]) if length else 0)
            if len(self._unread) < end:
                break
            self._unread = self._unread[end:]
            host = _HOST.search(headers)
            place = (host[1] + target if host else target).decode("ascii")
            self._server.requests.append(f"{method.decode('ascii')} {place}")
            name = self.tls.getHandle().get_servername()
            self._server.server_names.append(name and name.decode("ascii"))
            self._server.pages.get(place, self._server.otherwise)(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note that it is over."""
        self.is_over = True


Answer = Callable[[Conversation], None]
"""What a server does when it has been asked."""


@implementer(IOpenSSLServerConnectionCreator)
@dataclass
class TlsServer:
    """A server; what it shows and says can be changed between connections."""

    issued: Issued
    pages: dict[str, Answer] = field(default_factory=dict)
    """What it answers, by `Host` and target: `a.test/.well-known/matrix/server`."""

    otherwise: Answer = field(default_factory=lambda: http(b"{}"))
    host: str = "127.0.0.1"
    port: int = 0
    """0 for one that is free."""

    conversations: list[Conversation] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Such as `GET a.test/.well-known/matrix/server`."""

    server_names: list[str | None] = field(default_factory=list)
    """The server name indication that came with each request."""

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """As Twisted asks for it."""
        context = SSL.Context(SSL.TLS_METHOD)
        self.issued.value.present_in(context)
        return SSL.Connection(context, None)

    @property
    def received(self) -> bytes:
        """Every byte that reached it after a handshake."""
        return b"".join(each.received for each in self.conversations)


@contextmanager
def listening(*servers: TlsServer) -> Iterator[None]:
    """Let servers listen, each on a port of its own."""
    ports = []
    for server in servers:
        factory = TLSMemoryBIOFactory(
            server, isClient=False, wrappedFactory=_Conversations(server), clock=reactor
        )
        factory.noisy = False
        port = reactor.listenTCP(server.port, factory, interface=server.host)
        server.port = cast("IPv4Address", port.getHost()).port
        ports.append(port)

    try:
        yield
    finally:
        end(ports)
        for _ in range(10):  # what was on its way is read, and then that it is over
            reactor.iterate()
        for each in [each for server in servers for each in server.conversations]:
            if not each.is_over:
                each.tls.abortConnection()


class _Conversations(Factory):
    noisy = False

    def __init__(self, server: TlsServer) -> None:
        self._server = server

    def buildProtocol(self, addr: object) -> Conversation:
        conversation = Conversation(self._server)
        self._server.conversations.append(conversation)
        return conversation


def delegation(target: str) -> Answer:
    """Answer with a well-known document that delegates."""
    return http(b'{"m.server": "%b"}' % target.encode())
