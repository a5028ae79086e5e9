"""HTTP within limits, and answers in JSON whatever comes in.

Rules of the room: a body is counted while it is read, and a request that is too large
is answered and cut off before the rest of it. Everything that is answered is answered
in JSON, also what Twisted would answer itself.

Specification: Server-server API, "API standards".
"""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, datetimeToString
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource

from homeserver.inbound.account import Account, Ledger
from homeserver.inbound.channel import SteadyChannel
from homeserver.inbound.request import Request
from homeserver.inbound.resource import SERVER, Reply, error_reply
from homeserver.inbound.target import read_target
from homeserver.protocol.errors import ProtocolError
from homeserver.wall_clock import wall_seconds

# How long a peer may take to close a connection that we have closed; an honest one
# takes a round trip.
_CLOSING_SECONDS = 15.0

# Twisted takes this one for none. There is none of that name (RFC 9112, section 7),
# and where a body ends that is in it, others may see otherwise.
_IDENTITY = re.compile(rb"transfer-encoding:[ \t]*identity", re.IGNORECASE)


@lru_cache(maxsize=1)  # many answers are of the same second
def _date(second: int) -> bytes:
    """A second since 1970 as HTTP writes it."""
    date: bytes = datetimeToString(second)
    return date


class BoundedRequest(Request):
    """A request whose body is counted while it arrives."""

    channel: "_Channel"
    account: Account

    _log = Logger()
    _is_refused = False
    _received = 0

    def __init__(self, channel: "_Channel", queued: object) -> None:
        # A body is JSON, whatever it is called.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that is announced as too large before it comes."""
        if length is not None:
            self._check(length)
        if not self._is_refused:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what came, unless it is too much with what came before."""
        self._received += len(data)
        self._check(self._received)
        if not self._is_refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Look for the resource, unless the request was answered already."""
        if self._is_refused:
            return
        if self.channel.site.is_closing:
            self.channel.persistent = False
            self.setHeader(b"Connection", b"close")
        self.account = self.channel.open_account(self.method, self.uri)
        if not self.path.startswith(b"/"):
            # `*` and the form of CONNECT, which lead nowhere.
            self.path = b"/" + self.path
        self.setHeader(b"Date", _date(int(wall_seconds(self.channel.site.reactor))))
        try:
            self.answer_from(self.channel.site.root)
        except Exception:  # noqa: BLE001 - logged; the peer learns nothing of it
            self._log.failure("an error of ours")
            self.channel.end_with(500, "M_UNKNOWN", "internal error")

    def _check(self, length: int) -> None:
        limit = self.channel.site.max_body_bytes
        if length <= limit:
            return
        self._is_refused = True
        self.channel.end_with(
            413, "M_TOO_LARGE", f"the body is larger than the limit of {limit} bytes"
        )


class _Channel(SteadyChannel):
    """HTTP/1.x with errors in the form of all errors.

    Once it closes, nothing more is heard: TLS goes on delivering until the peer closes
    as well, which it need not do.
    """

    site: "BoundedSite"
    requestFactory = BoundedRequest  # type: ignore[assignment]

    _is_closing = False
    _aborting: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """As Twisted tells it: there is a connection."""
        super().connectionMade()
        self.site.channels.add(self)

    def end_when_answered(self) -> None:
        """Close, but not before the answer to a request that has begun to arrive."""
        if self._is_closing:
            self._hang_up()
        elif self.requests:
            self.persistent = False
            for request in self.requests:
                request.setHeader(b"Connection", b"close")
        else:
            self.loseConnection()

    def open_account(self, method: bytes, target: bytes) -> Account:
        """The account of a request on this connection."""
        return self.site.ledger.open(method, target, self.getPeer().host)

    def end_with(self, status: int, errcode: str, why: str) -> None:
        """Give the peer a last answer, which is an error, unless it had one already."""
        if not self._is_closing:
            # Written as it is: to Twisted, a request that is still arriving cannot
            # be answered yet.
            self.transport.write(_raw(error_reply(status, errcode, why)))
            self.loseConnection()
            # Twisted keeps the first line of a request there, once it has come.
            account = self.open_account(
                getattr(self, "_command", b"-"), getattr(self, "_path", b"-")
            )
            account.errcode, account.error = errcode, why
            account.close(status)

    def dataReceived(self, data: bytes) -> None:
        """Read what came, unless it came after the end."""
        if not self._is_closing:
            super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """As Twisted calls it: the head of a request has come."""
        headers = self.requests[-1].requestHeaders
        hosts = headers.getRawHeaders(b"Host", [])
        try:
            self._path, authority = read_target(self._path, hosts, self._version)
        except ProtocolError as problem:
            self.end_with(problem.status, problem.errcode, str(problem))
            return
        if authority is not None:
            headers.setRawHeaders(b"Host", [authority])
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """As Twisted calls it: a request is whole, unless it was answered before."""
        if not self._is_closing:
            super().allContentReceived()

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
        """Close: no whole request has come in time."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close, and do not wait for long until the peer does too."""
        if not self._is_closing:
            self._is_closing = True
            self._aborting = self.site.reactor.callLater(
                _CLOSING_SECONDS, self.transport.abortConnection
            )
            super().loseConnection()
            if self.site.is_closing:
                self._hang_up()

    def _hang_up(self) -> None:
        """Close as soon as all is written, whatever the peer's end of TLS does."""
        tls = self.transport
        if isinstance(tls, TLSMemoryBIOProtocol) and tls.transport is not None:
            tls.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As Twisted tells it: the connection is gone."""
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        super().connectionLost(reason)
        self.site.forget(self)

    def _send100Continue(self) -> None:
        if not self._is_closing:
            super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.end_with(400, "M_UNKNOWN", "this is not HTTP/1.1 as it should be")


def _raw(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    head = (
        f"HTTP/1.1 {reply.status} {phrase}\r\n"
        f"Server: {SERVER}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + reply.body


class BoundedSite(HTTPFactory):
    """A web site within limits."""

    noisy = False

    # Without the class that Twisted puts before it, which chooses HTTP/2.
    protocol = _Channel  # type: ignore[assignment]

    def __init__(
        self,
        root: IResource,
        max_body_bytes: int,
        request_seconds: float,
        ledger: Ledger,
        reactor: IReactorTime,
    ) -> None:
        """`request_seconds` is how long the next request may take to arrive whole."""
        super().__init__(reactor=reactor)
        self.root = root
        self.max_body_bytes = max_body_bytes
        self.ledger = ledger
        self.channels: set[_Channel] = set()
        self.is_closing = False
        self._closed: Deferred[None] = Deferred()
        self.timeOut = request_seconds

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> _Channel:
        """As Twisted asks for it: what speaks on a new connection."""
        channel = cast("_Channel", super().buildProtocol(addr))
        channel.site = self
        return channel

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
        if self.is_closing and not self.channels and not self._closed.called:
            self._closed.callback(None)

    def log(self, request: HttpRequest) -> None:
        """Format no access log; what is known of a request is in its account."""
