"""The TLS listener, for a limited number of connections.

Rules: nothing is read from a connection that is one too many.

Specification: Server-server API, "TLS".
"""

from collections.abc import Callable
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
from homeserver.net.tls.server import ServerTls
from homeserver.outbound.transport.connection import describe

_RECORD_BYTES = 2**14  # RFC 8446, section 5.1

HandshakeResult = Literal["completed", "failed", "refused"]
"""`refused` is a connection that is one too many."""


class _Transport(EndingTls):
    """TLS that tells how its handshake went.

    What it is given in one turn of the reactor is encrypted as one, after the turn:
    head and body of an answer are written apart. Twisted's own class does that too,
    with a call of the reactor for each connection; here one is for all.
    """

    factory: "BoundedTls"
    _has_begun = False
    _unsent = b""

    def write(self, data: bytes) -> None:
        """Keep `data` until the turn is over, but no more than fits into a record."""
        if not self._unsent:
            self.factory.send_after_turn(self)
        self._unsent += data
        if len(self._unsent) >= _RECORD_BYTES:
            self.send()

    def send(self) -> None:
        """Send what was kept."""
        unsent, self._unsent = self._unsent, b""
        if unsent:
            super().write(unsent)

    @property
    def waiting_since(self) -> float | None:
        """As the connection inside says."""
        return cast("Waiting", self.wrappedProtocol).waiting_since

    def give_way(self) -> None:
        """Close at once: others have no room."""
        self.abortConnection()

    def loseConnection(self) -> None:
        """Close, after what was written before."""
        self.send()
        super().loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """As Twisted tells it: what came, which may be the end of the handshake."""
        was_done = self._handshakeDone
        self._has_begun = True
        super().dataReceived(data)
        if self._handshakeDone and not was_done:
            self.factory.end_handshake(self, None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As Twisted tells it: the connection is gone, maybe before it was one."""
        if self._has_begun and not self._handshakeDone:
            # Of what TLS found wrong, Twisted tells the protocol inside, no other.
            self.factory.end_handshake(self, self._reason or reason)
        super().connectionLost(reason)


class BoundedTls(TLSMemoryBIOFactory):
    """TLS for so many connections, and for so many of one client."""

    noisy = False
    protocol = _Transport

    _log = Logger()

    def __init__(
        self,
        tls: ServerTls,
        site: IProtocolFactory,
        connections: Connections,
        reactor: IReactorTime,
        observe: Callable[[HandshakeResult], object] = lambda _: None,
    ) -> None:
        """`site` is what is spoken within TLS; `observe` takes each handshake's end.

        `connections` decides which connections there may be.
        """
        super().__init__(tls, isClient=False, wrappedFactory=site, clock=reactor)
        self._connections = connections
        self._observe = observe
        self._unsent: list[_Transport] = []

    def buildProtocol(  # type: ignore[override]
        self, addr: IPv4Address | IPv6Address
    ) -> TLSMemoryBIOProtocol | None:
        """As Twisted asks for it; None closes the connection at once."""
        if not self._connections.admit(addr.host):
            self._observe("refused")
            return None
        return super().buildProtocol(addr)

    def send_after_turn(self, connection: _Transport) -> None:
        """Have a connection send what it keeps, when this turn of the reactor is over.

        That is one call for all of them.
        """
        if not self._unsent:
            self._clock.callLater(0, self._send)
        self._unsent.append(connection)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in unsent:
            connection.send()

    def end_handshake(self, connection: _Transport, failure: Failure | None) -> None:
        """Take in how a handshake ended; a failure is told, as its client hears little.

        Who connects and says nothing only looks whether somebody listens.
        """
        if failure is None:
            self._observe("completed")
            return
        self._observe("failed")
        address = connection.getPeer().host
        self._log.info(
            "TLS handshake of {address} failed: {error}",
            address=address,
            error=describe(cast("Exception", failure.value)),
        )

    def registerProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Count a connection that is made; Twisted tells of each one twice."""
        if p not in self.protocols:
            self._connections.add(cast("Waiting", p), p.getPeer().host)
        super().registerProtocol(p)

    def unregisterProtocol(self, p: TLSMemoryBIOProtocol) -> None:
        """Count a connection that is gone no more."""
        super().unregisterProtocol(p)
        self._connections.remove(cast("Waiting", p))
