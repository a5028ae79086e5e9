"""HTTP within limits, and answers in JSON whatever comes in.

Rules of the room: a request that its head condemns is answered before its body comes,
and a body is counted while it is read; what is refused so is cut off before the rest of
it. Everything that is answered is answered in JSON, also what Twisted would answer
itself.

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
from homeserver.http.reply import SERVER, Reply, refusal
from homeserver.http.request_log import RequestLog, RequestRecord
from homeserver.http.router import Router
from homeserver.http.target import read_target
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.errors import ProtocolError, RequestTimeout

# Twisted takes this one for none. There is none of that name (RFC 9112, section 7),
# and where a body ends that is in it, others may see otherwise.
_IDENTITY = re.compile(rb"transfer-encoding:[ \t]*identity", re.IGNORECASE)


class _Channel(ClosingChannel):
    """HTTP/1.x with errors in the form of all errors.

    TLS goes on delivering until the peer closes as well, which it need not do.
    """

    site: "BoundedSite"
    requestFactory = BoundedRequest  # type: ignore[assignment]

    _waiting_since = 0.0

    def connectionMade(self) -> None:
        """As Twisted tells it: there is a connection."""
        super().connectionMade()
        self._waiting_since = self.site.reactor.seconds()
        self.site.add(self)

    @property
    def waiting_since(self) -> float | None:
        """Since when no request came whole; None while one is being answered."""
        return None if self._handlingRequest else self._waiting_since

    def give_way(self) -> None:
        """Close at once: others have no room."""
        self.transport.abortConnection()

    def requestDone(self, request: HttpRequest) -> None:
        """As Twisted calls it: a request was answered."""
        self._waiting_since = self.site.reactor.seconds()
        super().requestDone(request)

    def end_when_answered(self) -> None:
        """Close, but not before the answer to a request that has begun to arrive."""
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
        """What the site takes."""
        return self.site.limits

    @property
    def router(self) -> Router:
        """The routes of the site."""
        return self.site.router

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the answer to this request."""
        return self.site.is_closing

    def now(self) -> float:
        """The time in seconds since 1970."""
        return wall_seconds(self.site.reactor)

    def open_record(self, method: bytes, target: bytes) -> RequestRecord:
        """The record of a request on this connection."""
        return self.site.request_log.open(method, target, self.getPeer().host)

    @property
    def first_line(self) -> tuple[bytes, bytes]:
        """Method and target of the request that arrives, as far as they have come."""
        # Twisted keeps them there until the request is whole.
        return getattr(self, "_command", b"-"), getattr(self, "_path", b"-")

    def end_with(self, reply: Reply, record: RequestRecord) -> None:
        """Give the peer a last answer, which is an error, unless it had one already."""
        if not self.is_closing:
            self.end(_raw(reply))
            record.close(reply.status)

    def allHeadersReceived(self) -> None:
        """As Twisted calls it: the head of a request has come."""
        headers = self.requests[-1].requestHeaders
        hosts = headers.getRawHeaders(b"Host", [])
        try:
            self._path, authority = read_target(self._path, hosts, self._version)
        except ProtocolError as problem:
            self._refuse(problem)
            return
        if authority is not None:
            headers.setRawHeaders(b"Host", [authority])
        super().allHeadersReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        """End a line without an end with the answer that all bad requests get."""
        self._respondToBadRequestAndDisconnect()

    def pauseProducing(self) -> None:
        """Read nothing more while the peer does not read what it was answered."""
        super().pauseProducing()
        self._networkProducer.pauseProducing()

    def headerReceived(self, line: bytes) -> bool:
        """Take one header; whether it is one."""
        if _IDENTITY.match(line):
            self._respondToBadRequestAndDisconnect()
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of more digits than Python reads
            self._respondToBadRequestAndDisconnect()
            return False

    def timeoutConnection(self) -> None:
        """Close: no whole request has come in time. One that has begun is answered."""
        if self.requests:
            self._refuse(RequestTimeout("the request did not arrive in time"))
        else:
            self.loseConnection()

    def loseConnection(self) -> None:
        """Close, and do not wait for the peer where the site closes too."""
        if not self.is_closing:
            super().loseConnection()
            if self.site.is_closing:
                self.hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As Twisted tells it: the connection is gone."""
        super().connectionLost(reason)
        self.site.forget(self)

    def _refuse(self, problem: ProtocolError) -> None:
        record = self.open_record(*self.first_line)
        self.end_with(refusal(record, problem), record)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(ProtocolError("this is not HTTP/1.1 as it should be"))


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

    # Without the class that Twisted puts before it, which chooses HTTP/2.
    protocol = _Channel  # type: ignore[assignment]

    def __init__(
        self,
        router: Router,
        limits: SiteLimits,
        request_log: RequestLog,
        reactor: IReactorTime,
    ) -> None:
        """`request_log` takes the records of the requests."""
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
        """As Twisted asks for it: what speaks on a new connection; None closes it."""
        connections = self.limits.connections
        if connections is not None and not connections.admit(addr.host):
            return None
        channel = cast("_Channel", super().buildProtocol(addr))
        channel.site = self
        return channel

    def add(self, channel: _Channel) -> None:
        """Count a connection that is made."""
        self.channels.add(channel)
        if self.limits.connections is not None:
            self.limits.connections.add(channel, channel.getPeer().host)

    async def drain(self) -> None:
        """Answer what has arrived or begun to, and close all connections.

        From now on each answer is the last one of its connection. Returns when the last
        byte of the last answer was taken by the system, or its peer is gone.
        """
        self.is_closing = True
        for channel in list(self.channels):
            channel.end_when_answered()
        if self.channels:
            await self._closed

    def forget(self, channel: _Channel) -> None:
        """Count a connection that is gone no more."""
        self.channels.discard(channel)
        if self.limits.connections is not None:
            self.limits.connections.remove(channel)
        if self.is_closing and not self.channels and not self._closed.called:
            self._closed.callback(None)

    def log(self, request: HttpRequest) -> None:
        """Format no access log; what is known of a request is in its record."""
