"""A connection that does once what Twisted does for each request.

Rules: the addresses are asked once, and one delayed call watches the time limit for as
long as the connection is open.
"""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory


class SteadyChannel(HTTPChannel):
    """Twisted's HTTP/1.x with one look-up of addresses and one timer."""

    site: HTTPFactory
    transport: ITCPTransport
    timeOut: float | None  # type: ignore[assignment]

    _timing: IDelayedCall | None = None
    _ends_at: float | None = None

    def connectionMade(self) -> None:
        """Called by Twisted: the connection is open."""
        # Twisted asks the system for them with each request.
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the client."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our address that the client connected to."""
        return self._host

    def resetTimeout(self) -> None:
        """Start the time limit of a new request; later pieces do not extend it."""
        if self.timeOut is not None and not self.requests and not self._buffer:
            self._ends_at = self.site.reactor.seconds() + self.timeOut

    def setTimeout(self, period: float | None) -> float | None:
        """Set the time limit of the next request; None while one is answered.

        Twisted makes a delayed call for each request. Here one call serves the whole
        connection: it is made again if the limit is not yet reached when it fires.
        """
        before, self.timeOut = self.timeOut, period
        if period is None:
            self._ends_at = None
        else:
            self._ends_at = self.site.reactor.seconds() + period
            if self._timing is None:
                self._time_out()
        return before

    def _time_out(self) -> None:
        self._timing = None
        if self._ends_at is not None:
            left = self._ends_at - self.site.reactor.seconds()
            if left <= 0:
                self.timeoutConnection()
            else:
                self._timing = self.site.reactor.callLater(left, self._time_out)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed."""
        if self._timing is not None:
            self._timing.cancel()
        super().connectionLost(reason)
