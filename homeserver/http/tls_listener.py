"""The TLS listener, for a limited number of connections.

Rules: nothing is read from a connection beyond the limit.

Specification: Server-server API, "TLS".
"""

from typing import Literal, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from homeserver.http.closing import EndingTls
from homeserver.http.connections import Connections, Waiting
from homeserver.net.exchange import Exchange, Exchanges
from homeserver.net.tls.facts import facts_of
from homeserver.net.tls.server import ServerTls
from homeserver.outbound.transport.connection import describe

_RECORD_BYTES = 2**14  # RFC 8446, section 5.1

HandshakeResult = Literal["completed", "failed", "refused"]
"""`refused` is a connection beyond the limit."""


class _Transport(EndingTls):
    """TLS that reports the result of its handshake.

    Data written in one reactor turn is encrypted together after the turn, as the head
    and the body of a response are written separately. Twisted's own class makes one
    delayed call for each connection; here one call serves all connections.
    """

    factory: "BoundedTls"
    _has_begun = False
    _unsent = b""

    exchange: Exchange | None = None
    """Of the handshake, from its first byte to its end."""

    def write(self, data: bytes) -> None:
        """Buffer `data` until the end of the turn, at most one TLS record."""
        if not self._unsent:
            self.factory.send_after_turn(self)
        self._unsent += data
        if len(self._unsent) >= _RECORD_BYTES:
            self.send()

    def send(self) -> None:
        """Send the buffered data."""
        unsent, self._unsent = self._unsent, b""
        if unsent:
            super().write(unsent)

    @property
    def waiting_since(self) -> float | None:
        """That of the HTTP connection inside."""
        return cast("Waiting", self.wrappedProtocol).waiting_since

    def give_way(self) -> None:
        """Close at once, to make room for another connection."""
        self.abortConnection()

    def loseConnection(self) -> None:
        """Close after the buffered data is sent."""
        self.send()
        super().loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: received data, which may complete the handshake."""
        was_done = self._handshakeDone
        if not was_done and not self._has_begun:
            self._has_begun = True
            self.exchange = self.factory.open_exchange()
        # OpenSSL keeps a buffer of the largest piece for as long as the connection.
        for start in range(0, len(data), _RECORD_BYTES):
            if self._tlsConnection is not None:
                super().dataReceived(data[start : start + _RECORD_BYTES])
        if self._handshakeDone and not was_done:
            self.factory.end_handshake(self, None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed, perhaps during the handshake."""
        if self._has_begun and not self._handshakeDone:
            # Twisted reports an error of TLS only to the protocol inside.
            self.factory.end_handshake(self, self._reason or reason)
        super().connectionLost(reason)


class BoundedTls(TLSMemoryBIOFactory):
    """TLS for a limited number of connections, in all and of one client."""

    noisy = False
    protocol = _Transport

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
        self._unsent: list[_Transport] = []

    def buildProtocol(  # type: ignore[override]
        self, addr: IPv4Address | IPv6Address
    ) -> TLSMemoryBIOProtocol | None:
        """Called by Twisted: a new connection; None closes it at once."""
        if not self._connections.admit(addr.host):
            exchange = self._exchanges.open("connection", "in")
            exchange.address, exchange.result = addr.host, "refused"
            exchange.reason = "too_many_connections"
            exchange.close()
            return None
        return super().buildProtocol(addr)

    def open_exchange(self) -> Exchange:
        """The exchange of a handshake that begins now."""
        return self._exchanges.open("connection", "in")

    def send_after_turn(self, connection: _Transport) -> None:
        """Send the buffered data of a connection after this reactor turn.

        One delayed call serves all connections.
        """
        if not self._unsent:
            self._clock.callLater(0, self._send)
        self._unsent.append(connection)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in unsent:
            connection.send()

    def end_handshake(self, connection: _Transport, failure: Failure | None) -> None:
        """Close the exchange of a handshake, and log a failure.

        A client that connects and sends nothing only probes the port.
        """
        exchange, connection.exchange = connection.exchange, None
        if exchange is None:
            return
        exchange.address = connection.getPeer().host
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
