"""One TLS connection: its handshake, GET requests before verification, then the pool.

Rules: until `hand_over`, only `fetch` can send on the connection: a GET without
anything but its target. A response never takes more memory than its limit, headers
included.
"""

from typing import cast

from msgspec import Struct
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from homeserver import __version__
from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Details, Exchange
from homeserver.net.time_limit import within
from homeserver.net.tls.facts import facts_of
from homeserver.net.twisted_private import (
    ClientProtocol,
    ClientRequest,
    is_idle,
)
from homeserver.outbound.transport.response import (
    Response,
    ResponseTooLarge,
    read_body,
)

USER_AGENT = f"homeserver/{__version__}"

# A reply to a transaction has 50 errors of a few hundred bytes; a key document is
# smaller. Twisted limits the length of a header, but not the number of headers.
MAX_RESPONSE_BYTES = 1024 * 1024

# The head of a fetched response: eight times the usual limit for a request's head.
MAX_HEAD_BYTES = 64 * 1024


class NoAnswer(Exception):
    """There is no complete response; `str()` says why."""


class Get(Struct, frozen=True):
    """A GET before the connection has a pool."""

    target: str
    host_header: str
    seconds: float
    """For the whole response."""

    limit: int
    """Of its body, in bytes."""


@implementer(IHandshakeListener)
class PeerConnection(Protocol):
    """A connection: first its handshake, then one HTTP protocol after the other."""

    def __init__(self) -> None:
        self.handshake: Deferred[None] = Deferred()
        """Fires when the handshake is complete, or fails as the handshake does."""

        self.own_name = ""
        """The server of ours that the connection is for; empty without one."""

        self.address = ""
        """The IP address that it leads to."""

        self._http: IProtocol | None = None
        self._received = 0
        self._limit = 0

    def handshakeCompleted(self) -> None:
        """As `IHandshakeListener`."""
        if not self.handshake.called:
            self.handshake.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Pass data to the HTTP protocol, within the limit."""
        self._received += len(data)
        if self._http is None or self._is_idle():
            # Data without a request. The HTTP protocol is closed at once, so that no
            # pool uses the connection again.
            self.abort()
            self._lose(Failure(error.ConnectionAborted()))
        elif self._received > self._limit:
            self.abort()
            self._lose(Failure(ResponseTooLarge(f"over {self._limit} bytes")))
        else:
            self._http.dataReceived(data)
            if self._is_idle():
                self._received = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail the handshake or the HTTP protocol that is under way."""
        if not self.handshake.called:
            self.handshake.errback(reason)
        self._lose(reason)

    async def fetch(
        self, get: Get, exchange: Exchange, clock: IReactorTime
    ) -> Response:
        """The response to a GET; its exchange is filled and closed.

        Raises `NoAnswer`.
        """
        exchange.path = get.target.partition("?")[0]
        try:
            fetched = await self._fetch(get, exchange, clock)
        except NoAnswer as problem:
            exchange.reason, exchange.error = "no_answer", str(problem)
            raise
        finally:
            exchange.close(exchange.status)
        return fetched

    async def _fetch(
        self, get: Get, exchange: Exchange, clock: IReactorTime
    ) -> Response:
        # Without a pool, which would use the connection for the next request as soon as
        # this response ends, verified or not.
        http = ClientProtocol()
        headers = Headers({"Host": [get.host_header], "User-Agent": [USER_AGENT]})
        request = ClientRequest(
            b"GET", get.target.encode("ascii"), headers, None, persistent=True
        )
        if exchange.details is not None:
            exchange.details.tls = facts_of(self.transport)

        async def ask() -> Response:
            response = await _ask(http, request, exchange.details)
            body = await read_body(response, get.limit)
            if self._received > self._limit:
                # A body without a length seems complete where it was cut off.
                raise ResponseTooLarge(f"over {self._limit} bytes")
            exchange.status = response.code
            return Response(response.code, response.headers, body)

        try:
            self._speak(http, get.limit + MAX_HEAD_BYTES)
            return await within(get.seconds, clock, ask())
        except (
            ResponseTooLarge,
            ResponseFailed,
            error.ConnectionClosed,
            defer.TimeoutError,
            ValueError,
        ) as problem:
            raise NoAnswer(describe(problem)) from problem

    def hand_over(self, protocol: IProtocol, limit: int = MAX_RESPONSE_BYTES) -> None:
        """Give the connection to `protocol`, with a limit of the bytes to it.

        Raises `ConnectionLost` if the connection is closed.
        """
        self._speak(protocol, limit)

    def allow(self, reply_bytes: int) -> None:
        """Let the next response have so large a body; a megabyte in any case."""
        self._limit = max(MAX_RESPONSE_BYTES, reply_bytes + MAX_HEAD_BYTES)

    @property
    def tls(self) -> TLSMemoryBIOProtocol:
        """The transport, which is set when the handshake begins."""
        return cast("TLSMemoryBIOProtocol", self.transport)

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or one side is closing it."""
        return bool(self.tls.disconnecting) or not self.tls.connected

    def abort(self) -> None:
        """Close the connection at once, if it is open."""
        if self.tls.connected:
            self.tls.abortConnection()

    def _is_idle(self) -> bool:
        return is_idle(self._http)

    def _speak(self, protocol: IProtocol, limit: int) -> None:
        if self.is_closing:
            # `connectionLost` was called already; the protocol would wait for ever.
            raise error.ConnectionLost
        self._http = protocol
        self._received = 0
        self._limit = limit
        protocol.makeConnection(self.tls)

    def _lose(self, reason: Failure) -> None:
        http, self._http = self._http, None
        if http is not None:
            http.connectionLost(reason)


async def _ask(
    http: ClientProtocol, request: ClientRequest, details: Details | None
) -> IResponse:
    """The response; a cancellation raises `CancelledError`, not `ResponseFailed`."""
    try:
        return await http.request(request, details)
    except ResponseFailed as problem:
        if problem.reasons[0].check(defer.CancelledError):
            raise defer.CancelledError from None
        raise


def text_of(headers: Headers) -> list[tuple[str, str]]:
    """Headers as text that keeps each byte."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.getAllRawHeaders()
        for value in values
    ]
