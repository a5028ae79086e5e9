"""The listener of the planted homeserver: HTTP over TLS, a thread a connection.

Rules: as in `server`. A request is read whole, then answered in JSON.
"""

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.planted.signing import canonical

_MAX_BODY = 20_000_000  # bytes
_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """What another server asks."""

    method: str
    target: str
    authorization: str | None
    body: bytes


@dataclass
class Answer:
    """What a request got."""

    status: int
    content: Any

    @property
    def error(self) -> str:
        """The sentence of an error."""
        return str(self.content["error"])


Respond = Callable[[Request], Answer | None]
"""Answers a request; None closes the connection without an answer."""


class Listener:
    """Listens at 127.0.0.1, at a port that was free."""

    def __init__(self, pem: Path, respond: Respond) -> None:
        """`pem` has a private key and a certificate."""
        handler = type("Handler", (_Handler,), {"respond": staticmethod(respond)})
        self._http = _Server(("127.0.0.1", 0), handler)
        self.port = int(self._http.server_address[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        # The handshake is in the thread of the connection, at its first byte.
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the context ends."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # connections may come at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As the base class, but for connections that end early, which is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    respond: Respond

    def do_GET(self) -> None:
        """Answer a request."""
        body = self._read()
        if body is None:
            self.close_connection = True
            error = {"errcode": "M_UNKNOWN", "error": "the body has no length"}
            self._answer(Answer(400, error))
            return
        asked = self.headers["Authorization"]
        answer = self.respond(Request(self.command, self.path, asked, body))
        if answer is None:
            self.close_connection = True
        else:
            self._answer(answer)

    do_PUT = do_POST = do_DELETE = do_OPTIONS = do_HEAD = do_GET

    def _read(self) -> bytes | None:
        """The body; None for one that does not say where it ends."""
        length = self.headers["Content-Length"]
        coding = self.headers["Transfer-Encoding"]
        if coding is None:
            text = length or "0"
            is_size = text.isdecimal() and int(text) <= _MAX_BODY
            return self.rfile.read(int(text)) if is_size else None
        if length is not None or coding.lower() != "chunked":
            return None
        return self._read_chunks()

    def _read_chunks(self) -> bytes | None:
        data = b""
        while len(data) <= _MAX_BODY:
            try:
                size = int(self.rfile.readline(20).partition(b";")[0], 16)
            except ValueError:
                return None
            if size == 0:
                self.rfile.readline(20)
                return data
            data += self.rfile.read(min(size, _MAX_BODY))
            self.rfile.readline(2)
        return None

    def _answer(self, answer: Answer) -> None:
        data = canonical(answer.content)
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
