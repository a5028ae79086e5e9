"""The other ends of a memory reactor's connections: TLS servers under control.

Nothing moves until the test says so, and no time passes but what it lets pass.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer

from tests.support.certificates import Issued

_T = TypeVar("_T")


def start(coroutine: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
    """Begin a coroutine; its result is there once the wire is done with it."""
    return Deferred.fromCoroutine(coroutine)


def ok(body: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    """The bytes of a response."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Peer(Protocol):
    """The server's end of a connection, inside TLS: it records, and says nothing."""

    def __init__(self) -> None:
        self.received = b""
        """All that reached it."""

        self.is_gone = False
        """Whether the connection has ended."""

    def dataReceived(self, data: bytes) -> None:
        """Record what came."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Record that this was all."""
        self.is_gone = True


class Tcp(FakeTransport):
    """Our end of a connection, below TLS."""

    is_aborted = False
    """Whether we ended it without waiting until all that was written is sent."""

    def abortConnection(self) -> None:
        """As `ITCPTransport`."""
        self.is_aborted = True
        super().abortConnection()


@dataclass
class Wire:
    """One connection that was made."""

    peer: Peer
    tcp: Tcp
    _pump: IOPump

    def flush(self) -> None:
        """Move bytes, and whether an end has hung up, until nothing moves."""
        self._pump.flush()

    def say(self, data: bytes) -> None:
        """Let the peer say something, and let it arrive."""
        assert self.peer.transport is not None
        self.peer.transport.write(data)
        self.flush()

    def whisper(self, data: bytes) -> None:
        """Let the peer say something, and then neither hear nor answer any more."""
        assert self.peer.transport is not None
        self.peer.transport.write(data)
        self._pump.clock.advance(0)
        self.tcp.bufferReceived(self._pump.serverIO.getOutBuffer())

    def hang_up(self) -> None:
        """Let the peer end the connection."""
        assert self.peer.transport is not None
        self.peer.transport.loseConnection()
        self.flush()


class Net:
    """A reactor, and the servers that answer it."""

    def __init__(self) -> None:
        self.clock = MemoryReactorClock()

    @property
    def reactor(self) -> PosixReactorBase:
        """The reactor, as clients have it."""
        return cast("PosixReactorBase", self.clock)

    @property
    def dialled(self) -> list[tuple[str, int]]:
        """The addresses and ports to which a connection is being made."""
        return [(host, port) for host, port, *_ in self.clock.tcpClients]

    def refuse(self, problem: Exception | None = None) -> None:
        """Let the connection that was begun first fail."""
        _, _, factory, _, _ = self.clock.tcpClients.pop(0)
        factory.clientConnectionFailed(
            self.clock.connectors.pop(0), Failure(problem or Refused())
        )
        # An endpoint looks for another address of the same host all 0.3 seconds.
        self.clock.advance(0.3)

    def accept(
        self, issued: Issued, host: str | None = None, *, is_silent: bool = False
    ) -> Wire:
        """Let the connection that was begun first be made, to a server with a name.

        `host` is the text of the address that the system tells, if it is another one
        than was dialled. With `is_silent` the server leaves the handshake undone.
        """
        dialled, port, factory, _, _ = self.clock.tcpClients.pop(0)
        self.clock.connectors.pop(0)
        kind = IPv6Address if ":" in dialled else IPv4Address
        client = factory.buildProtocol(None)
        assert client is not None
        server_factory = TLSMemoryBIOFactory(
            _Server(issued),
            isClient=False,
            wrappedFactory=Factory.forProtocol(Peer),
            clock=self.clock,
        )
        server = server_factory.buildProtocol(None)
        assert server is not None
        ours = Tcp(
            client, isServer=False, peerAddress=kind("TCP", host or dialled, port)
        )
        theirs = FakeTransport(server, isServer=True)
        server.makeConnection(theirs)
        client.makeConnection(ours)
        pump = IOPump(client, server, ours, theirs, debug=False, clock=self.clock)
        wire = Wire(cast("Peer", server.wrappedProtocol), ours, pump)
        if not is_silent:
            wire.flush()
        return wire


@implementer(IOpenSSLServerConnectionCreator)
class _Server:
    def __init__(self, issued: Issued) -> None:
        self._issued = issued

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """As Twisted asks for it."""
        context = SSL.Context(SSL.TLS_METHOD)
        self._issued.value.present_in(context)
        return SSL.Connection(context, None)
