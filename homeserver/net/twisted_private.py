"""The private names of Twisted that this server needs, under public names.

Rules: no other module uses a private name of Twisted. A test checks that each of them
is there, and what it is, in the installed version; it fails with a version in which one
was renamed.
"""

import re
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, cast

from OpenSSL.SSL import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web import _newclient
from twisted.web.http import HTTPChannel, HTTPFactory
from twisted.web.iweb import IResponse

from homeserver.net.exchange import Details
from homeserver.net.handled import release

RECORD_BYTES = 2**14  # of one record of TLS: RFC 8446, section 5.1

ClientRequest = _newclient.Request
"""A request for `ClientProtocol`."""

ParseError = _newclient.ParseError
"""A response is not HTTP; `data` is the bad line."""

RequestNotSent = _newclient.RequestNotSent
"""A connection was given a request while it had another one, or was closed."""


# RFC 9112, section 4; some servers leave out the space after the number.
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] [1-9][0-9]{2}(?: .*)?", re.DOTALL)


class ClientProtocol(_newclient.HTTP11ClientProtocol):
    """HTTP/1.1 as a client, on one connection. Twisted's public classes make their own.

    Twisted's response has the names of its headers in its own case, and lacks those
    about the connection, such as `Content-Length`.
    """

    def __init__(self, *arguments: Any) -> None:
        """As `HTTP11ClientProtocol`."""
        super().__init__(*arguments)
        self._received: bytearray | None = None

    def request(
        self, request: ClientRequest, details: Details | None = None
    ) -> Deferred[IResponse]:
        """Send a request; its response, once its head has come.

        The bytes of both are copied into `details`, as they go and come.
        """
        if is_idle(self):
            self._received = None if details is None else details.received
        if details is not None:
            write, sent = request.writeTo, details.sent
            request.writeTo = lambda transport: write(  # type: ignore[method-assign]
                _Copying(transport, sent)
            )
        had = self._parser
        asked: Deferred[IResponse] = super().request(request)
        parser: Any = self._parser
        if parser not in {None, had}:
            parser.__class__ = _Parser
        return asked

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: some bytes of a response."""
        if self._received is not None:
            self._received += data
        super().dataReceived(data)


class _Parser(_newclient.HTTPClientParser):
    """Reads a response; a head that is not HTTP raises `ParseError` with the line.

    Twisted takes any number for a status, as `-1`, and raises whatever its parsing of
    another line has led to.
    """

    def lineReceived(self, line: bytes) -> None:
        """Called by Twisted for a line of the head."""
        header = b"".join(self._partialHeader or [line.rstrip(b"\r")])
        try:
            super().lineReceived(line)
        except (ValueError, AttributeError):
            raise ParseError("not a header", header) from None

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called by Twisted for a line that is too long, in place of its end."""
        raise ValueError(f"a line of its head has over {self.MAX_LENGTH} bytes")

    def statusReceived(self, status: bytes) -> None:
        """Called by Twisted for the first line."""
        if _STATUS_LINE.fullmatch(status) is None:
            raise ParseError("not a status line", status)
        super().statusReceived(status)

    def allHeadersReceived(self) -> None:
        """Called by Twisted at the end of the head."""
        try:
            super().allHeadersReceived()
        except (ValueError, KeyError):
            headers = [
                name + b": " + value
                for name in (b"Transfer-Encoding", b"Content-Length")
                for value in self.connHeaders.getRawHeaders(name, [])
            ]
            raise ParseError("no length", b"; ".join(headers)) from None


class _Copying:
    """A transport whose bytes are copied."""

    def __init__(self, transport: Any, copy: bytearray) -> None:
        self._transport = transport
        self._copy = copy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As `ITransport`."""
        self._copy += data
        self._transport.write(data)

    def writeSequence(self, lines: Iterable[bytes]) -> None:
        """As `ITransport`."""
        self.write(b"".join(lines))


def is_idle(protocol: object) -> bool:
    """Whether a `ClientProtocol` can take a request; False for anything else."""
    return getattr(protocol, "state", None) == "QUIESCENT"


class ServerChannel(HTTPChannel):
    """HTTP/1.x as a server, on one connection."""

    site: HTTPFactory
    transport: ITCPTransport

    @property
    def is_answering(self) -> bool:
        """Whether a complete request has no complete response yet."""
        return bool(self._handlingRequest)

    @property
    def first_line(self) -> tuple[bytes, bytes]:
        """Method and target of the arriving request, `-` before they are complete."""
        # Twisted keeps them until the request is complete.
        return getattr(self, "_command", b"-"), getattr(self, "_path", b"-")

    @property
    def http_version(self) -> bytes:
        """Of the arriving request, once its first line is complete."""
        version: bytes = self._version
        return version

    def replace_target(self, target: bytes) -> None:
        """Replace the target of the arriving request."""
        self._path = target

    def pause_reading(self) -> None:
        """Read nothing more from the connection."""
        self._networkProducer.pauseProducing()

    def resume_reading(self) -> None:
        """Read from the connection again."""
        self._networkProducer.resumeProducing()

    def refuse_malformed(self) -> None:
        """Called for a request that is not HTTP: answer 400 and close."""
        super()._respondToBadRequestAndDisconnect()

    def let_continue(self) -> None:
        """Called for a client that waits with its body: ask for it."""
        super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse_malformed()

    def _send100Continue(self) -> None:
        self.let_continue()


def when_sent(transport: Any, call: Callable[[], object]) -> None:
    """Call once a transport has passed on all that was written to it.

    It is not called if the connection ends before. A transport without a method of this
    name has passed it on to the system.
    """
    getattr(transport, "when_sent", lambda done: done())(call)


class LaterTls(TLSMemoryBIOFactory):
    """TLS whose connections of OpenSSL are made when they are needed.

    One on which nothing was ever sent needs none, which takes most of its memory. A
    handshake must not begin before the first byte came.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `TLSMemoryBIOFactory`; its `protocol` is a `TlsConnection`."""
        super().__init__(*arguments, **options)
        self._creatorCallable = cast("Any", partial(partial, self._creatorCallable))


class TlsConnection(BufferingTLSTransport):
    """TLS on one connection."""

    _make: "partial[Connection] | None" = None
    """It holds this connection, until it was called."""

    copy: bytearray | None = None
    """Where what has left is copied to, before it is encrypted; None for nowhere."""

    def _write(self, data: bytes) -> None:
        if self.copy is None or self._lostTLSConnection:
            super()._write(data)
            return
        # A record of TLS that is cut off says nothing to the other side.
        for start in range(0, len(data), RECORD_BYTES):
            piece = data[start : start + RECORD_BYTES]
            super()._write(piece)
            when_sent(self.transport, partial(self._keep, piece))

    def _keep(self, piece: bytes) -> None:
        if self.copy is not None:
            self.copy += piece

    def when_sent(self, call: Callable[[], object]) -> None:
        """Call once all that was written has left; never if the connection ends."""
        self._aggregator.flush()
        when_sent(self.transport, call)

    def makeConnection(self, transport: ITransport) -> None:
        """Called by Twisted: the connection is open."""
        super().makeConnection(transport)
        made: object = self._tlsConnection
        if isinstance(made, partial):
            self._make = made
            del self._tlsConnection

    @cached_property
    def _tlsConnection(self) -> Connection:  # type: ignore[override]
        assert self._make is not None  # noqa: S101 - for the type checker
        made = self._make()
        self._make = None
        return made

    @property
    def is_shaken(self) -> bool:
        """Whether the handshake is complete."""
        return bool(self._handshakeDone)

    @property
    def has_tls(self) -> bool:
        """Whether the connection still decrypts what it receives."""
        return self._tlsConnection is not None

    def shake(self) -> None:
        """Called when the handshake may go on: at first, and with received data."""
        super()._checkHandshakeStatus()

    def _checkHandshakeStatus(self) -> None:
        self.shake()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None:
            # Its frames hold it, this connection, and OpenSSL's memory for that.
            release(reason)
        super()._tlsShutdownFinished(reason)

    def _shutdownTLS(self) -> None:
        if self._make is None:  # else there is nothing to shut down
            super()._shutdownTLS()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed."""
        if self._make is not None:
            self._make, self._lostTLSConnection = None, True
        super().connectionLost(reason)
        self._producer = None  # it holds this connection, as this one holds it

    def fail(self, reason: Failure) -> None:
        """Let the connection end for a reason, whatever TLS itself says of it."""
        self._reason = reason

    def failure(self, reason: Failure = connectionDone) -> Failure:
        """Why the handshake failed; `reason` if TLS has no reason of its own."""
        return self._reason or reason
