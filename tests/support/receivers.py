"""Servers that take transactions, and are there or not, as the test wants.

Each has a port of its own and is called by its address, so that nobody has to be asked
where it is; its certificate is that of an authority of the test's.
"""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from socket import SHUT_RDWR, socket

from cryptography import x509

from scripts.processes import LOOPBACK
from tests.support.certificates import Issued, authority, issue

CONFIGURATION = """
[network]
allow = ["127.0.0.0/8"]

[verification]
ca_file = "{authority}"
system_roots = false
"""


@dataclass(frozen=True)
class Arrival:
    """A transaction that has come whole."""

    txn_id: str
    body: bytes

    @property
    def pdus(self) -> list[dict[str, object]]:
        """The PDUs in it."""
        pdus: list[dict[str, object]] = json.loads(self.body)["pdus"]
        return pdus


Behave = Callable[[], int | None]
"""The status of an answer; None for a connection that ends without one."""


class Receiver:
    """One server; it is down until `up` is called."""

    def __init__(
        self, context: ssl.SSLContext, port: int, behave: Behave = lambda: 200
    ) -> None:
        self.name = f"{LOOPBACK}:{port}"
        self.arrivals: list[Arrival] = []
        """All that came and got a 200 or no answer, in order."""

        self._context = context
        self._port = port
        self._behave = behave
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def up(self) -> None:
        """Listen."""
        with self._lock:
            if self._server is None:
                self._server = _Server(self._port, self._context, self._answer)

    def down(self) -> None:
        """Listen no more, and end all connections."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.end()

    def _answer(self, txn_id: str, body: bytes) -> int | None:
        status = self._behave()
        if status in {200, None}:
            self.arrivals.append(Arrival(txn_id, body))
        return status


class _Server(ThreadingHTTPServer):
    """What listens, for as long as its receiver is up."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        answer: Callable[[str, bytes], int | None],
    ) -> None:
        self.answer = answer
        self._context = context
        self._connections: set[socket] = set()
        super().__init__((LOOPBACK, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def get_request(self) -> tuple[socket, tuple[str, int]]:
        """As `TCPServer`: the next connection, whose handshake is not made yet."""
        connection, address = self.socket.accept()
        wrapped = self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        wrapped.settimeout(60)
        self._connections.add(wrapped)
        return wrapped, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that end early: that is what they are for."""

    def end(self) -> None:
        """Close everything."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # it has ended already
                connection.shutdown(SHUT_RDWR)
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """A connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        """Take a transaction."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            return  # its sender is dead
        status = self.server.answer(self.path.rpartition("/")[2], body)
        if status is None:
            self.close_connection = True
            return
        reply = b'{"pdus":{}}' if status == 200 else b'{"errcode":"M_UNKNOWN"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(
    folder: Path,
    ports: list[int],
    behave: Behave = lambda: 200,
    issuer: Issued | None = None,
) -> Iterator[tuple[list[Receiver], str]]:
    """Receivers that are up, and the configuration of an endpoint that sends to them.

    `issuer` is the authority of their certificate, a new one unless it is given.
    """
    root = issuer or authority()
    root_file = folder / "root.crt"
    root_file.write_bytes(root.pem)
    address = x509.IPAddress(IPv4Address(LOOPBACK))
    issue("receiver", [address], issuer=root).write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    receivers = [Receiver(context, port, behave) for port in ports]
    try:
        for receiver in receivers:
            receiver.up()
        yield receivers, CONFIGURATION.format(authority=root_file)
    finally:
        for receiver in receivers:
            receiver.down()
