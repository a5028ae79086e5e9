"""Fronts: TLS servers before an endpoint of ours, which answer as other servers may.

Rules: a front passes on what comes, and changes how the answers look: their spelling,
the life of their connections, their certificate. A thread serves each connection.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

_SECONDS = 100.0  # that a connection may be silent; machines are shared
_MAX_LINE = 200_000


@dataclass
class Passed:
    """An answer on its way to who asked."""

    asked: bytes
    """The head of the request."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Without those about the length and the connection."""

    version: str = "HTTP/1.1"
    before: bytes = b""
    """What goes before it."""

    is_chunked: bool = False
    has_length: bool = True
    is_last: bool = False
    """Whether the connection ends after it."""

    is_spelled: Callable[[str], str] = str
    """Spells the name of a header."""

    def rendered(self) -> bytes:
        """Its bytes."""
        headers, body = list(self.headers), self.body
        if self.is_chunked:
            headers.append(("Transfer-Encoding", "Chunked"))
            half = len(body) // 2
            body = b"".join(
                b"%04X;a=b\r\n%b\r\n" % (len(each), each)
                for each in (body[:half], body[half:])
                if each
            )
            body += b"000\r\nX-Trailer: a\r\n\r\n"
        elif self.has_length:
            headers.append(("Content-Length", str(len(body))))
        lines = [f"{self.version} {self.status} "]
        lines += [f"{self.is_spelled(name)}:{value}" for name, value in headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return self.before + head + (b"" if self.asked.startswith(b"HEAD ") else body)


Change = Callable[[Passed], None]


class Front:
    """One front."""

    def __init__(
        self, port: int, pem: Path, change: Change, host: str = "127.0.0.1"
    ) -> None:
        """`port` is the endpoint's at 127.0.0.1; `pem` has a key and a chain."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self._port, self._change = port, change
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self.port = int(self._listener.getsockname()[1])

    @contextmanager
    def running(self) -> Iterator["Front"]:
        """Serve for as long as the context."""
        thread = threading.Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Some connections are idle up to the end of the run.
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(_SECONDS)
        with (
            suppress(OSError, HTTPException),
            connection,
            self.context.wrap_socket(connection, server_side=True) as tls,
        ):
            self._pass_on(tls)
            tls.unwrap()

    def _pass_on(self, tls: ssl.SSLSocket) -> None:
        with tls.makefile("rb") as asked:
            while (head := _read_head(asked)) is not None:
                if b"expect: 100-continue" in head.lower():
                    tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                passed = self._ask(head, _read_body(asked, head))
                self._change(passed)
                tls.sendall(passed.rendered())
                if passed.is_last or b"connection: close" in head.lower():
                    return

    def _ask(self, head: bytes, body: bytes) -> Passed:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self._port), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.sendall(head.replace(b"Expect: 100-continue\r\n", b"") + body)
            response = HTTPResponse(tls, method=head.partition(b" ")[0].decode())
            response.begin()
            apart = ("transfer-encoding", "content-length", "connection")
            headers = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in apart
            ]
            return Passed(head, response.status, response.read(), headers)


def _read_head(stream: BinaryIO) -> bytes | None:
    lines: list[bytes] = []
    while (line := stream.readline(_MAX_LINE)).strip():
        lines.append(line)
    return b"".join([*lines, b"\r\n"]) if lines else None


def _read_body(stream: BinaryIO, head: bytes) -> bytes:
    fields = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    named = {name.strip(): value.strip() for name, _, value in fields}
    if named.get(b"transfer-encoding") != b"chunked":
        return stream.read(int(named.get(b"content-length", b"0")))
    found, size = b"", 1
    while size:
        line = stream.readline(_MAX_LINE)
        size = int(line.partition(b";")[0], 16)
        found += line + stream.read(size + 2)
    return found
