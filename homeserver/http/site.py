"""HTTP/1.x within limits, on one listener.

Rules: every response has a JSON body, also those to requests that are not HTTP. A
request that is refused before it is complete is the last one of its connection.

Specification: Server-server API, "API standards".
"""

import re
from http import HTTPStatus
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory
from twisted.web.http import Request as HttpRequest

from homeserver.http.bounded_request import BoundedRequest, SiteLimits
from homeserver.http.closing import ClosingChannel
from homeserver.http.details import take_request
from homeserver.http.leaving import LeavingResponses
from homeserver.http.reply import SERVER, Reply, refusal
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Router
from homeserver.http.target import read_target
from homeserver.net.exchange import Exchange
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.errors import ProtocolError, RequestTimeout

# Twisted ignores this coding. It does not exist any more (RFC 9112, section 7), and
# another server may find a different end of a body that is sent with it.
_IDENTITY = re.compile(rb"transfer-encoding:[ \t]*identity", re.IGNORECASE)


class _Channel(ClosingChannel):
    """A connection; its errors have the form of all errors."""

    site: "BoundedSite"
    requestFactory = BoundedRequest  # type: ignore[assignment]

    _waiting_since = 0.0
    _connected = 0.0
    _is_arriving = False

    def connectionMade(self) -> None:
        """Called by Twisted: the connection is open."""
        # Twisted asks for both with each request, and the system for ours.
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()
        self._leaving = LeavingResponses(self.transport)
        self._waiting_since = self._connected = self.site.reactor.seconds()
        self.site.add(self)

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the client."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our address that the client connected to."""
        return self._host

    @property
    def waiting_since(self) -> float | None:
        """When the wait for the next request began; None while one is answered."""
        return None if self.is_answering else self._waiting_since

    def give_way(self) -> None:
        """Close at once, to make room for another connection."""
        self.transport.abortConnection()

    def resetTimeout(self) -> None:
        """Start the time limit of a new request; later pieces do not extend it."""
        if not self._is_arriving:
            self._is_arriving = True
            super().resetTimeout()

    def requestDone(self, request: HttpRequest) -> None:
        """Called by Twisted: the response is complete."""
        self._waiting_since = self.site.reactor.seconds()
        self._is_arriving = False
        self._leaving.close(cast("BoundedRequest", request).exchange, request.code)
        super().requestDone(request)

    def end_when_answered(self) -> None:
        """Close after the response to a request that has begun to arrive."""
        if self.is_closing:
            self.hang_up()
        elif self.requests:
            self.persistent = False
            for request in self.requests:
                request.setHeader(b"Connection", b"close")
        else:
            self.loseConnection()

    @property
    def limits(self) -> SiteLimits:
        """The limits of the site."""
        return self.site.limits

    @property
    def router(self) -> Router:
        """The routes of the site."""
        return self.site.router

    @property
    def is_last(self) -> bool:
        """Whether the connection closes after this response."""
        return self.site.is_closing

    def now(self) -> float:
        """The time in seconds since 1970."""
        return wall_seconds(self.site.reactor)

    def open_exchange(self, method: bytes, target: bytes) -> Exchange:
        """The exchange of a request on this connection."""
        exchange = self.site.request_log.open(method, target, self.getPeer().host)
        exchange.port, exchange.connected = self.getHost().port, self._connected
        self._leaving.copy(exchange)
        return exchange

    def begin(self, exchange: Exchange) -> None:
        """Start the time of a request that is complete."""
        exchange.began = self.site.reactor.seconds()

    def end_with(self, reply: Reply, exchange: Exchange) -> None:
        """Send an error as the last response, unless the connection is closing."""
        if not self.is_closing:
            self.end(_raw(reply))
            self._leaving.close(exchange, reply.status)

    def allHeadersReceived(self) -> None:
        """Called by Twisted: the head of a request is complete."""
        self._keep()
        headers = self.requests[-1].requestHeaders
        hosts = headers.getRawHeaders(b"Host", [])
        try:
            _, target = self.first_line
            target, authority = read_target(target, hosts, self.http_version)
        except ProtocolError as problem:
            self._refuse(problem)
            return
        self.replace_target(target)
        if authority is not None:
            headers.setRawHeaders(b"Host", [authority])
        super().allHeadersReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer an endless line as every malformed request."""
        self.refuse_malformed()

    def pauseProducing(self) -> None:
        """Stop reading while the peer does not read its responses."""
        super().pauseProducing()
        self.pause_reading()

    def headerReceived(self, line: bytes) -> bool:
        """Called by Twisted: one header; returns whether it is valid."""
        self._keep(line)
        if _IDENTITY.match(line):
            self.refuse_malformed()
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of more digits than Python reads
            self.refuse_malformed()
            return False

    def _keep(self, *lines: bytes) -> None:
        """Keep lines of the arriving request, if it is recorded."""
        if self.site.request_log.is_recorded:
            request = cast("BoundedRequest", self.requests[-1])
            request.start_line = b" ".join((*self.first_line, self.http_version))
            request.header_lines = [*request.header_lines, *lines]

    def timeoutConnection(self) -> None:
        """Close after the time limit; a request that has begun gets a 408."""
        if self.requests:
            self._refuse(RequestTimeout("the request did not arrive in time"))
        else:
            self.loseConnection()

    def loseConnection(self) -> None:
        """Close; while the site shuts down, do not wait for the peer."""
        if not self.is_closing:
            super().loseConnection()
            if self.site.is_closing:
                self.hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed."""
        answered = [each.exchange for each in self.requests if each.is_answered]
        super().connectionLost(reason)
        self._leaving.end(reason, answered)
        self.site.forget(self)

    def _refuse(self, problem: ProtocolError) -> None:
        exchange = self.open_exchange(*self.first_line)
        if exchange.details is not None and self.requests:
            take_request(exchange.details, cast("BoundedRequest", self.requests[-1]))
        self.end_with(refusal(exchange, problem), exchange)

    def refuse_malformed(self) -> None:
        """Answer what is not HTTP as every refused request."""
        self._refuse(ProtocolError("the request is not valid HTTP/1.1"))


def _raw(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    head = (
        f"HTTP/1.1 {reply.status} {phrase}\r\n"
        f"Server: {SERVER}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Connection: close\r\n"
    )
    head += "".join(f"{n}: {value}\r\n" for n, value in reply.headers.items())
    head += "\r\n"
    return head.encode("ascii") + reply.body


class BoundedSite(HTTPFactory):
    """A web site within limits."""

    noisy = False

    # Not wrapped in the class of Twisted that negotiates HTTP/2.
    protocol = _Channel  # type: ignore[assignment]

    def __init__(
        self,
        router: Router,
        limits: SiteLimits,
        request_log: RequestLog,
        reactor: IReactorTime,
    ) -> None:
        """`request_log` takes the exchange of each request."""
        super().__init__(reactor=reactor)
        self.router = router
        self.limits = limits
        self.request_log = request_log
        self.channels: set[_Channel] = set()
        self.is_closing = False
        self._closed: Deferred[None] = Deferred()
        self.timeOut = limits.request_seconds

    def buildProtocol(  # type: ignore[override]
        self, addr: IPv4Address | IPv6Address
    ) -> "_Channel | None":
        """Called by Twisted: the protocol of a new connection; None closes it."""
        connections = self.limits.connections
        if connections is not None and not connections.admit(addr.host):
            return None
        channel = cast("_Channel", super().buildProtocol(addr))
        channel.site = self
        return channel

    def add(self, channel: _Channel) -> None:
        """Count an open connection."""
        self.channels.add(channel)
        if self.limits.connections is not None:
            self.limits.connections.add(channel, channel.getPeer().host)

    async def drain(self) -> None:
        """Answer the requests that have begun to arrive, and close all connections.

        From now on each response is the last one of its connection. Returns when every
        connection is closed, after its last byte or by its peer.
        """
        self.is_closing = True
        for channel in list(self.channels):
            channel.end_when_answered()
        if self.channels:
            await self._closed

    def forget(self, channel: _Channel) -> None:
        """Stop counting a closed connection."""
        self.channels.discard(channel)
        if self.limits.connections is not None:
            self.limits.connections.remove(channel)
        if self.is_closing and not self.channels and not self._closed.called:
            self._closed.callback(None)

    def log(self, request: HttpRequest) -> None:
        """Write no access log of Twisted's; `RequestLog` has its own."""
