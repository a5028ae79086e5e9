"""An answer that does not end by itself.

Rules: it is sent as fast as it is read, and not beyond a number of bytes: then its
connection ends in the middle of it.

Specification: RFC 9112, section 7.1.
"""

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, ITCPTransport
from zope.interface import implementer

from homeserver.http.reply import Reply, error_reply
from homeserver.http.request import Request

MOST_BYTES = 2**26
"""More than the buffers of a connection have, which are sent though nothing is read."""

_PIECE = b" " * 2**14


class Endless:
    """Answers requests with a beginning, and then with spaces; an `Answer`."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._streams: list[_Stream] = []

    @property
    def sent(self) -> int:
        """How many spaces were sent to the request that took most."""
        return max((each.sent for each in self._streams), default=0)

    @property
    def is_whole(self) -> bool:
        """Whether a client took all that there was."""
        return self.sent >= MOST_BYTES

    async def __call__(self, request: Request) -> Reply:
        """Send it until the client goes, or there was enough."""
        gone: Deferred[None] = request.notifyFinish()
        gone.addErrback(lambda _: None)
        request.setResponseCode(200)
        request.setHeader(b"Content-Type", b"application/json")
        request.write(self._beginning)
        stream = _Stream(request)
        self._streams.append(stream)
        request.registerProducer(stream, False)  # noqa: FBT003 - it is asked for more
        await gone
        return error_reply(503, "M_UNKNOWN", "the client has gone")


@implementer(IPullProducer)
class _Stream:
    """The spaces of one answer."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.sent = 0

    def resumeProducing(self) -> None:
        """As `IPullProducer`: the last piece is on its way."""
        request = self._request
        if self.sent < MOST_BYTES:
            self.sent += len(_PIECE)
            request.write(_PIECE)
        else:
            request.unregisterProducer()
            cast("ITCPTransport", request.channel.transport).abortConnection()

    def stopProducing(self) -> None:
        """As `IPullProducer`: the client has gone."""
