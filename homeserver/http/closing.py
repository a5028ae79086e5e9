"""The end of a connection: a last answer, and what still comes after it.

Rules: once it closes, nothing more is heard. A client that is refused while it sends
gets the answer before the connection is closed under it: only our side is closed at
first, and what comes is dropped, undecrypted, for two seconds and up to a size.

Specification: RFC 9112, section 9.6.
"""

from typing import cast

from twisted.internet.interfaces import IConsumer, IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from homeserver.http.channel import SteadyChannel

# How long a peer may take to read the last answer and to close a connection that we
# have closed; an honest one takes a round trip after its last byte.
_CLOSING_SECONDS = 15.0

# How long one may go on sending what was refused. It has read the answer then, or does
# not read while it sends.
_LINGERING_SECONDS = 2.0


# What one may send meanwhile: a body of the largest size that is usual, which some
# clients send to its end before they read. To drop it costs five milliseconds.
_MAX_DROPPED = 2**24


class EndingTls(TLSMemoryBIOProtocol):
    """TLS that can end while the other side goes on sending."""

    _has_ended = False
    _dropped = 0

    def end(self) -> None:
        """Send what was written and the end of TLS; take nothing more in."""
        self.loseConnection()
        self._has_ended = True
        cast("ITCPTransport", self.transport).loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """As Twisted tells it: what came, unless it came after the end."""
        if not self._has_ended:
            super().dataReceived(data)
            return
        self._dropped += len(data)
        if self._dropped > _MAX_DROPPED:
            cast("ITCPTransport", self.transport).abortConnection()


class ClosingChannel(SteadyChannel):
    """HTTP/1.x on a connection that hears nothing more once it closes."""

    is_closing = False

    _aborting: IDelayedCall | None = None
    _dropped = 0

    def dataReceived(self, data: bytes) -> None:
        """Read what came, unless it came after the end."""
        if not self.is_closing:
            super().dataReceived(data)
            return
        self._dropped += len(data)
        if self._dropped > _MAX_DROPPED:
            self.transport.abortConnection()

    def allContentReceived(self) -> None:
        """As Twisted calls it: a request is whole, unless it was answered before."""
        if not self.is_closing:
            super().allContentReceived()

    def end(self, answer: bytes) -> None:
        """Write a last answer, and read nothing more."""
        self._close_within(_LINGERING_SECONDS)
        self.clearLineBuffer()
        # Written as it is: to Twisted, a request that is still arriving cannot be
        # answered yet.
        self.transport.write(answer)
        cast("IConsumer", self.transport).unregisterProducer()
        # What was paused is read on, so that the client comes to read.
        self._networkProducer.resumeProducing()
        if isinstance(self.transport, EndingTls):
            self.transport.end()
        else:
            self.transport.loseWriteConnection()

    def loseConnection(self) -> None:
        """Close, and do not wait for long until the peer does too."""
        if not self.is_closing:
            self._close_within(_CLOSING_SECONDS)
            super().loseConnection()

    def hang_up(self) -> None:
        """Close as soon as all is written, whatever the peer's end of TLS does."""
        tls = self.transport
        if isinstance(tls, TLSMemoryBIOProtocol) and tls.transport is not None:
            tls.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As Twisted tells it: the connection is gone."""
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        super().connectionLost(reason)

    def _close_within(self, seconds: float) -> None:
        self.is_closing = True
        self._aborting = self.site.reactor.callLater(
            seconds, self.transport.abortConnection
        )

    def _send100Continue(self) -> None:
        if not self.is_closing:
            super()._send100Continue()
