"""The TLS listener, for a limited number of connections.

Rules: nothing is read from a connection beyond the limit.

Specification: Server-server API, "TLS".
"""

from collections.abc import Callable
from typing import Literal, Protocol, cast

from msgspec import Struct
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from homeserver.http.closing import EndingTls
from homeserver.http.connections import Connections, Waiting
from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.facts import facts_of
from homeserver.net.tls.server import ServerTls, connection_of
from homeserver.net.twisted_private import RECORD_BYTES, LaterTls

HandshakeResult = Literal["completed", "failed", "refused"]
"""`refused` is a connection beyond the limit."""


class Ending(Protocol):
    """The protocol inside TLS."""

    def end_when_answered(self) -> None:
        """Close after the response to a request that has begun to arrive."""
        ...


class AcceptedTls(EndingTls):
    """TLS that reports the result of its handshake."""

    factory: "BoundedTls"
    _has_begun = False

    exchange: Exchange | None = None
    """Of the handshake, opened with its first byte at the latest, until its end."""

    @property
    def waiting_since(self) -> float | None:
        """That of the HTTP connection inside."""
        return cast("Waiting", self.wrappedProtocol).waiting_since

    def give_way(self) -> None:
        """Close at once, to make room for another connection."""
        self.abortConnection()

    def shake(self) -> None:
        """Go on with the handshake, once the client has begun it.

        OpenSSL has buffers for a handshake, more than all else that a connection takes;
        one on which nothing was ever sent needs none.
        """
        if self._has_begun:
            super().shake()

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: received data, which may complete the handshake."""
        was_done = self.is_shaken
        if not was_done and not self._has_begun:
            self.getHandle()  # where it cannot be made, nothing has begun
            self._has_begun = True
            self.exchange = self.exchange or self.factory.open_exchange()
        # OpenSSL keeps a buffer of the largest piece for as long as the connection.
        for start in range(0, len(data), RECORD_BYTES):
            if self.has_tls:
                super().dataReceived(data[start : start + RECORD_BYTES])
        if self.is_shaken and not was_done:
            self.factory.end_handshake(self, None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed, perhaps during the handshake."""
        if self._has_begun and not self.is_shaken:
            # Twisted reports an error of TLS only to the protocol inside.
            self.factory.end_handshake(self, self.failure(reason))
        super().connectionLost(reason)


class BoundedTls(LaterTls):
    """TLS for a limited number of connections, in all and of one client."""

    noisy = False
    protocol = AcceptedTls

    _log = Logger()

    def __init__(
        self,
        tls: ServerTls,
        site: IProtocolFactory,
        connections: Connections,
        reactor: IReactorTime,
        exchanges: Exchanges | None = None,
    ) -> None:
        """`site` makes the protocol inside TLS; `connections` admits connections.

        `exchanges` has each handshake, and each connection that was refused.
        """
        super().__init__(tls, isClient=False, wrappedFactory=site, clock=reactor)
        self._connections = connections
        self._exchanges = exchanges or Exchanges(reactor)

    def buildProtocol(  # type: ignore[override]
        self, addr: IPv4Address | IPv6Address
    ) -> AcceptedTls | None:
        """Called by Twisted: a new connection; None closes it at once."""
        if not self._connections.admit(addr.host):
            exchange = self._exchanges.open("connection", "in")
            exchange.address, exchange.result = addr.host, "refused"
            exchange.reason = "too_many_connections"
            exchange.close()
            return None
        return cast("AcceptedTls", super().buildProtocol(addr))

    def open_exchange(self) -> Exchange:
        """The exchange of a handshake that begins now."""
        return self._exchanges.open("connection", "in")

    def end_connections(self) -> None:
        """Close each connection after the requests that it carries."""
        for connection in list(self.protocols):
            cast("Ending", connection.wrappedProtocol).end_when_answered()

    def end_handshake(self, connection: AcceptedTls, failure: Failure | None) -> None:
        """Close the exchange of a handshake, and log a failure.

        A client that connects and sends nothing only probes the port.
        """
        exchange, connection.exchange = connection.exchange, None
        if exchange is None:
            return
        exchange.address = connection.getPeer().host
        handshake = connection_of(connection)
        exchange.server = "" if handshake is None else handshake.server
        exchange.result = "completed"
        exchange.mark("handshake")
        if exchange.details is not None:
            exchange.details.tls = facts_of(connection)
        if failure is not None:
            exchange.result, exchange.reason = "failed", "handshake_failed"
            exchange.error = describe(cast("Exception", failure.value))
            self._log.info(
                "TLS handshake of {address} failed: {error}",
                address=exchange.address,
                error=exchange.error,
            )
        exchange.close()

    def registerProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Count an open connection; Twisted calls this twice for each."""
        if p not in self.protocols:
            self._connections.add(cast("Waiting", p), p.getPeer().host)
        super().registerProtocol(p)

    def unregisterProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Stop counting a closed connection."""
        super().unregisterProtocol(p)
        self._connections.remove(cast("Waiting", p))


class ListeningTls(Struct, frozen=True):
    """The parts of a TLS listener, for what stands before it."""

    tls: ServerTls
    factory: BoundedTls
    """Makes the connections with `tls`."""

    build: Callable[[ServerTls], BoundedTls]
    """Makes a factory whose connections have another server's side of TLS.

    They count towards the same limits.
    """

    connections: Connections
