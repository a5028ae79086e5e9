"""The response to a request of ours, and its body within a limit.

Rules: a body takes no more memory than its limit. Beyond it, the connection is closed.
"""

from msgspec import Struct
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse


class ResponseTooLarge(Exception):
    """The response of a peer exceeds its limit; the connection was closed."""


class Response(Struct, frozen=True):
    """A complete response."""

    status: int
    headers: Headers
    body: bytes


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
        # PotentialDataLoss: the body is delimited by the end of the connection.
        if reason.check(ResponseFailed, error.ConnectionDone):
            self.body.errback(reason)
        else:
            self.body.callback(b"".join(self._parts))

    def _abort(self) -> None:
        transport: ITransport | None = self.transport
        if transport is not None:
            # The transport of a response has no other method to close the connection.
            getattr(transport, "stopProducing", transport.loseConnection)()
