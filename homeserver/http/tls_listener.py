"""The TLS listener: the server's side of each handshake, for so many connections.

Rules of the room: of a connection that is one too many, nothing is read. A certificate
that a client shows is taken as it is: whose it is, is judged beside a request's origin.

Specification: Server-server API, "TLS".
"""

from collections.abc import Callable
from typing import Literal, cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.http.closing import EndingTls
from homeserver.http.connections import Connections, Waiting
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.transport.connection import describe


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The server's side of each handshake; its certificate can be replaced."""

    def __init__(self, certificate: Certificate, *, asks_for_certificate: bool) -> None:
        self._asks_for_certificate = asks_for_certificate
        self.renew(certificate)

    def renew(self, certificate: Certificate) -> None:
        """Present `certificate` from the next handshake on."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        # Session tickets are on; OpenSSL wants a name for what they belong to. The
        # client keeps them: kept here, they would be memory that strangers fill.
        context.set_session_id(b"homeserver")
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self._asks_for_certificate:
            # Whatever is shown is taken: it is judged beside a request's origin, and
            # most requests need none.
            context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        certificate.present_in(context)
        self._context = context
        self._leaf = certificate.leaf

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As Twisted asks for it: the connection on which the handshake will be."""
        return _Connection(self._context, self._leaf)


class _Connection(SSL.Connection):
    """The server's side of one handshake, which knows what it shows.

    To ask OpenSSL would be to have it write the certificate anew for each request.
    """

    def __init__(self, context: SSL.Context, leaf: bytes) -> None:
        super().__init__(context, None)
        self.leaf = leaf


def presented_on(transport: object) -> bytes | None:
    """The DER of the certificate that we show on a connection; None without TLS."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    handle: _Connection = transport.getHandle()
    return handle.leaf


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
