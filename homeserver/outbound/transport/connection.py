"""One TLS connection: its handshake, what is fetched on it, and then requests.

Rules of the room: until `hand_over`, nothing but what `fetch` asks for can be sent on
the connection, because nobody else has it; that is a GET that tells nothing but what is
asked for. A response never takes more than its limit of memory, headers included.
"""

from typing import cast

from msgspec import Struct
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, ParseError, Request
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from homeserver import __version__
from homeserver.protocol.errors import quote

USER_AGENT = f"homeserver/{__version__}"

KEY_DOCUMENT_PATH = "/_matrix/key/v1"
KEYS_V2_PATH = "/_matrix/key/v2/server"

# A reply to a transaction has 50 errors of a few hundred bytes; a key document is
# smaller. Twisted bounds a header line, but not how many there are.
MAX_RESPONSE_BYTES = 1024 * 1024

# The head of a response that is fetched: eight times what servers take from clients.
MAX_HEAD_BYTES = 64 * 1024


class ResponseTooLarge(Exception):
    """A peer sent more than a response may have; the connection was ended."""


class NoAnswer(Exception):
    """What was fetched did not come; `str()` says what came instead."""


class Fetched(Struct, frozen=True):
    """The response to a GET, whole."""

    status: int
    headers: Headers
    body: bytes


@implementer(IHandshakeListener)
class PeerConnection(Protocol):
    """A connection that knows how far it has come."""

    def __init__(self) -> None:
        self.handshake: Deferred[None] = Deferred()
        """Fires when the handshake is over, or fails as it does."""

        self._http: IProtocol | None = None
        self._received = 0
        self._limit = 0

    def handshakeCompleted(self) -> None:
        """As Twisted tells it."""
        if not self.handshake.called:
            self.handshake.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Pass what came to the HTTP protocol, within the limit."""
        self._received += len(data)
        if self._http is None or self._is_idle():
            # It speaks another protocol, or answers what was not asked yet. Told at
            # once, so that no pool hands the connection out any more.
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
        """Tell who waits."""
        if not self.handshake.called:
            self.handshake.errback(reason)
        self._lose(reason)

    async def fetch(
        self,
        target: str,
        host_header: str,
        seconds: float,
        limit: int,
        clock: IReactorTime,
    ) -> Fetched:
        """GET `target`; a body of at most `limit` bytes, within `seconds`.

        Raises `NoAnswer`.
        """
        # A protocol of its own, without a pool behind it: a pool would hand the
        # connection out as soon as this response ends, verified or not.
        http = HTTP11ClientProtocol()
        headers = Headers({"Host": [host_header], "User-Agent": [USER_AGENT]})
        request = Request(
            b"GET", target.encode("ascii"), headers, None, persistent=True
        )

        async def exchange() -> Fetched:
            response = await _ask(http, request)
            body = await read_body(response, limit)
            if self._received > self._limit:
                # A body without a length seems to end where it was cut off.
                raise ResponseTooLarge(f"over {self._limit} bytes")
            return Fetched(response.code, response.headers, body)

        try:
            self._speak(http, limit + MAX_HEAD_BYTES)
            return await Deferred.fromCoroutine(exchange()).addTimeout(seconds, clock)
        except (
            ResponseTooLarge,
            ResponseFailed,
            error.ConnectionClosed,
            defer.TimeoutError,
            ValueError,
        ) as problem:
            raise NoAnswer(describe(problem)) from problem

    def hand_over(self, protocol: IProtocol) -> None:
        """Let `protocol` have the connection from now on.

        Raises `ConnectionLost` if there is none any more.
        """
        self._speak(protocol, MAX_RESPONSE_BYTES)

    @property
    def tls(self) -> TLSMemoryBIOProtocol:
        """The transport, which is there from the first byte of the handshake on."""
        return cast("TLSMemoryBIOProtocol", self.transport)

    @property
    def is_closing(self) -> bool:
        """Whether the peer, or we, have ended the connection."""
        return bool(self.tls.disconnecting) or not self.tls.connected

    def abort(self) -> None:
        """End the connection at once, if it is still there."""
        if self.tls.connected:
            self.tls.abortConnection()

    def _is_idle(self) -> bool:
        return getattr(self._http, "state", None) == "QUIESCENT"

    def _speak(self, protocol: IProtocol, limit: int) -> None:
        if self.is_closing:
            # Its end was told already: nobody would ever tell the protocol.
            raise error.ConnectionLost
        self._http = protocol
        self._received = 0
        self._limit = limit
        protocol.makeConnection(self.tls)

    def _lose(self, reason: Failure) -> None:
        http, self._http = self._http, None
        if http is not None:
            http.connectionLost(reason)


async def _ask(http: HTTP11ClientProtocol, request: Request) -> IResponse:
    """The response; who gives up is told so, and not that the response failed."""
    try:
        return await http.request(request)
    except ResponseFailed as problem:
        if problem.reasons[0].check(defer.CancelledError):
            raise defer.CancelledError from None
        raise


def describe(problem: Exception) -> str:
    """What happened to a connection or a request, in words that a person can use."""
    reasons = getattr(problem, "reasons", None)  # of Twisted's ResponseFailed and so on
    if reasons:
        return describe(reasons[0].value)
    if isinstance(
        problem, (defer.TimeoutError, defer.CancelledError, error.TimeoutError)
    ):
        return "no answer in time"
    if isinstance(problem, (error.ConnectionDone, error.ConnectionLost)):
        return "the peer ended the connection"
    if isinstance(problem, ParseError):
        return f"it is not HTTP: {quote(problem.data)}"
    text = str(problem) or type(problem).__name__
    # Twisted's errors of parsing hold the line that could not be parsed.
    return text if len(text) <= 200 and text.isprintable() else quote(text)


def read_body(response: IResponse, limit: int) -> Deferred[bytes]:
    """Read a response's body; fails with `ResponseTooLarge` beyond `limit` bytes."""
    reader = _BodyReader(limit)
    response.deliverBody(reader)
    return reader.body


class _BodyReader(Protocol):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._length = 0
        self.body: Deferred[bytes] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        self._length += len(data)
        if self._length <= self._limit:
            self._parts.append(data)
            return
        self._parts.clear()
        if not self.body.called:
            self.body.errback(ResponseTooLarge(f"over {self._limit} bytes"))
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.body.called:
            return
        # PotentialDataLoss is a body that is delimited by the end of the connection.
        if reason.check(ResponseFailed, error.ConnectionDone):
            self.body.errback(reason)
        else:
            self.body.callback(b"".join(self._parts))

    def _abort(self) -> None:
        transport: ITransport | None = self.transport
        if transport is not None:
            # A response's transport can only stop the connection.
            getattr(transport, "stopProducing", transport.loseConnection)()
