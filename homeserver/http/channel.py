"""What a connection knows of itself from one request to the next.

Rules of the room: what Twisted does anew for each request, and need not, is done once
for each connection.
"""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, HTTPFactory


class SteadyChannel(HTTPChannel):
    """Twisted's HTTP/1.x on a connection whose addresses and clock are asked once."""

    site: HTTPFactory
    transport: ITCPTransport
    timeOut: float | None  # type: ignore[assignment]

    _timing: IDelayedCall | None = None
    _ends_at: float | None = None

    def connectionMade(self) -> None:
        """As Twisted tells it: there is a connection."""
        # Twisted asks for both with each request; the system knows the one alone.
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Where the client is."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """Where the client has connected to."""
        return self._host

    def resetTimeout(self) -> None:
        """Give a new request its time, and not each piece of it that comes."""
        if self.timeOut is not None and not self.requests and not self._buffer:
            self._ends_at = self.site.reactor.seconds() + self.timeOut

    def setTimeout(self, period: float | None) -> float | None:
        """Wait so long for the next request; None while one is being answered.

        Twisted has a call of the reactor for each of them. Here one goes on for as
        long as the connection: when it comes, it sees whether it has come too early.
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
        """As Twisted tells it: the connection is gone."""
        if self._timing is not None:
            self._timing.cancel()
        super().connectionLost(reason)
