"""The end of a connection: a last response, then lingering.

Rules: nothing that arrives after the last response is processed. A client that is
refused while it sends receives the response before the connection is closed: at first
only our side is closed, and received data is discarded, undecrypted, for two seconds
and up to a limit.

Specification: RFC 9112, section 9.6.
"""

from typing import cast

from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IConsumer, IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from homeserver.net.twisted_private import ServerChannel, TlsConnection

# How long a peer may take to read the last response and to close the connection; an
# honest one takes a round trip after the last byte.
_CLOSING_SECONDS = 15.0

# How long a peer may go on sending a refused request. By then it has read the response,
# or it does not read while it sends.
_LINGERING_SECONDS = 2.0


# Bytes that a peer may send meanwhile: a large body, which some clients send completely
# before they read. To discard it costs five milliseconds.
_MAX_DROPPED = 2**24


class EndedByRule(ConnectionClosed):
    """A rule of the operator's has ended the connection; `str()` says which."""


class EndingTls(TlsConnection):
    """TLS that can end while the peer goes on sending."""

    _has_ended = False
    _dropped = 0

    def end(self) -> None:
        """Send the written data and the end of TLS; process nothing more."""
        self.loseConnection()
        self._has_ended = True
        cast("ITCPTransport", self.transport).loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: decrypt received data, or discard it after the end."""
        if not self._has_ended:
            super().dataReceived(data)
            return
        self._dropped += len(data)
        if self._dropped > _MAX_DROPPED:
            cast("ITCPTransport", self.transport).abortConnection()


class ClosingChannel(ServerChannel):
    """HTTP/1.x on a connection that discards received data once it closes."""

    is_closing = False

    _aborting: IDelayedCall | None = None
    _dropped = 0

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: parse received data, or discard it after the end."""
        if not self.is_closing:
            super().dataReceived(data)
            return
        self._dropped += len(data)
        if self._dropped > _MAX_DROPPED:
            self.transport.abortConnection()

    def allContentReceived(self) -> None:
        """Called by Twisted: a request is complete; ignored if it was refused."""
        if not self.is_closing:
            super().allContentReceived()

    def end(self, answer: bytes) -> None:
        """Write the last response, and process nothing more."""
        self._close_within(_LINGERING_SECONDS)
        self.clearLineBuffer()
        # Raw bytes: Twisted cannot respond to a request that is still arriving.
        self.transport.write(answer)
        cast("IConsumer", self.transport).unregisterProducer()
        # Reading resumes, so that the client finishes sending and reads.
        self.resume_reading()
        if isinstance(self.transport, EndingTls):
            self.transport.end()
        else:
            self.transport.loseWriteConnection()

    def loseConnection(self) -> None:
        """Close, and abort if the peer does not close soon."""
        if not self.is_closing:
            self._close_within(_CLOSING_SECONDS)
            super().loseConnection()

    def hang_up(self) -> None:
        """Close once all is written, without waiting for the peer's end of TLS."""
        tls = self.transport
        if isinstance(tls, TLSMemoryBIOProtocol) and tls.transport is not None:
            tls.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed."""
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        super().connectionLost(reason)

    def _close_within(self, seconds: float) -> None:
        self.is_closing = True
        self._aborting = self.site.reactor.callLater(
            seconds, self.transport.abortConnection
        )

    def let_continue(self) -> None:
        """Ask for a body that its client holds back, unless the connection closes."""
        if not self.is_closing:
            super().let_continue()
