"""How a response is written: its head and its body, byte by byte.

Rules: what a response says is decided before; here it is only written in another way,
later, or not to its end. A client of HTTP/1.0 gets no chunks and no interim response.

Specification: RFC 9112; RFC 9110, section 15.2 for interim responses.
"""

from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from homeserver.http.request import Request
from homeserver.lab.faults.fault import Case

_CHUNK_BYTES = 7  # so that a short body has several chunks, too


class Wire:
    """Stands for the channel of one request while its response is written."""

    def __init__(self, channel: Any, clock: IReactorTime) -> None:
        self._channel = channel
        self._clock = clock
        self._body: list[bytes] = []
        self._is_chunked = False
        self.in_small_letters = False
        """Whether the names of headers are."""

        self.in_reverse = False
        """Whether the headers are in another order."""

        self.more_headers: list[tuple[bytes, bytes]] = []
        self.version: bytes | None = None
        """That of the status line, in place of the client's."""

        self.has_chunks = False
        self.is_cut = False
        """Whether the connection ends in the middle of a chunk."""

        self.has_interim = False
        """Whether an interim response comes first."""

        self.body_delay = 0.0
        """How many seconds the body waits after the head."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers
    ) -> None:
        """Called by Twisted: write the head of the response."""
        is_old = version != b"HTTP/1.1"
        lines = [
            (name, value)
            for name, values in headers.getAllRawHeaders()
            for value in values
        ]
        if self.version is not None:
            version = self.version
            self._channel.persistent = False
            lines = [(n, v) for n, v in lines if n.lower() != b"connection"]
            lines.append((b"Connection", b"close"))
        if self.has_chunks and not is_old and version == b"HTTP/1.1":
            self._is_chunked = True
            lines = [(n, v) for n, v in lines if n.lower() != b"content-length"]
            lines.append((b"Transfer-Encoding", b"chunked"))
        lines += self.more_headers
        if self.in_reverse:
            lines.reverse()
        if self.in_small_letters:
            lines = [(name.lower(), value) for name, value in lines]
        if self.has_interim and not is_old:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = [
            b" ".join([version, code, reason]),
            *(b": ".join(each) for each in lines),
        ]
        self._send(b"\r\n".join(head) + b"\r\n\r\n")

    def write(self, data: bytes) -> None:
        """Called by Twisted: write some of the body."""
        self._body.append(data)

    def requestDone(self, request: Request) -> None:
        """Called by Twisted: the response is complete."""
        if self.body_delay:
            self._clock.callLater(self.body_delay, self._end, request)
        else:
            self._end(request)

    def _end(self, request: Request) -> None:
        if getattr(request, "channel", self) is None:
            return  # the client has gone
        body = b"".join(self._body)
        if self._is_chunked:
            self._write_chunks(body)
        else:
            self._send(body)
        if self._is_chunked and self.is_cut:
            self._channel.persistent = False
        self._channel.requestDone(request)

    def _write_chunks(self, body: bytes) -> None:
        for start in range(0, len(body), _CHUNK_BYTES):
            piece = body[start : start + _CHUNK_BYTES]
            head = b"%x\r\n" % len(piece)
            if self.is_cut and start + _CHUNK_BYTES >= len(body) // 2:
                self._send(head + piece[: len(piece) // 2])
                return
            self._send(head + piece + b"\r\n")
        if not self.is_cut:
            self._send(b"0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        self._channel.transport.write(data)


def wire_of(case: Case) -> Wire:
    """The wire of a request, which the faults of one request share."""
    request: Any = case.request
    if not isinstance(request.channel, Wire):
        request.channel = Wire(request.channel, case.clock)
    return cast("Wire", request.channel)
