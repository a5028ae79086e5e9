"""The bytes of HTTP as the other side of a connection has them, and what they say."""

import base64
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from homeserver.testing import Server
from scripts.processes import LOOPBACK

_SECONDS = 60.0  # for whatever is waited for; an answer takes milliseconds

_T = TypeVar("_T")


class Heard(NamedTuple):
    """A message, as far as it came."""

    start_line: str
    headers: list[list[str]]
    body: bytes
    """Without the framing of chunks."""

    interim: list[int]
    """The statuses of interim responses before it."""


def heard(data: bytes) -> Heard | None:
    """What some bytes say; None without a whole head."""
    interim: list[int] = []
    while found := re.match(rb"HTTP/1\.1 (1\d\d) .*?\r\n\r\n", data, re.DOTALL):
        interim.append(int(found[1]))
        data = data[found.end() :]
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [re.split(r": ?", line, maxsplit=1) for line in lines]
    if ["transfer-encoding", "chunked"] in [[n.lower(), v] for n, v in headers]:
        body = b"".join(_chunks(body))
    return Heard(first, headers, body, interim)


def _chunks(data: bytes) -> list[bytes]:
    chunks, at = list[bytes](), 0
    while size := re.compile(rb"([0-9a-f]+)\r\n").match(data, at):
        at = size.end() + int(size[1], 16) + 2
        chunks.append(data[size.end() : at - 2])
    return chunks


def shown(message: dict[str, Any]) -> Heard:
    """What a record says of a message."""
    text = message.get("body", "").encode()
    packed = message.get("body_base64")
    body = text if packed is None else base64.b64decode(packed)
    assert len(body) == message["body_bytes"] or message["body_cut"]
    return Heard(message["start_line"], message["headers"], body, message["interim"])


class Listener:
    """A client of one connection, which keeps all that it hears."""

    def __init__(self, server: Server, *, version: str = "TLSv1_3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion[version]
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = server.name.rpartition(":")[0] or server.name
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        port = int(server.listen.rpartition(":")[2])
        self._tcp = socket.create_connection((LOOPBACK, port), _SECONDS)
        self._name = server.name
        self.count = 0
        """The bytes of the server, those of TLS among them."""

        self._data = bytearray()

    def ask(self, target: str) -> None:
        """Send a request that is the last one of its connection."""
        head = (
            f"GET {target} HTTP/1.1\r\nHost: {self._name}\r\nConnection: close\r\n\r\n"
        )
        self._step(self._tls.do_handshake)
        self._step(lambda: self._tls.write(head.encode()))

    def hear(self, enough: Callable[[bytearray], bool] = lambda _: False) -> bytes:
        """Read until the connection ends, or until it is enough, and leave."""
        with contextlib.suppress(
            ssl.SSLError, ConnectionError
        ):  # an end without a word
            while got := self._step(lambda: self._tls.read(65536)):
                self._data += got
                if enough(self._data):
                    break
        self.leave()
        return bytes(self._data)

    def say_hello(self) -> None:
        """Begin the handshake, and do not wait for the server."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._send()

    def leave(self) -> None:
        """End the connection."""
        self._tcp.close()

    def _step(self, call: Callable[[], _T]) -> _T:
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._send()
                received = self._tcp.recv(65536)
                self.count += len(received)
                if received:
                    self._in.write(received)
                else:
                    self._in.write_eof()
            else:
                self._send()
                return result

    def _send(self) -> None:
        if self._out.pending:
            self._tcp.sendall(self._out.read())


class Answerer:
    """A server of one connection, which keeps what it hears and says what it is told.

    It closes the connection then, or waits for the client to do so.
    """

    def __init__(self, certificate: str, answer: bytes, *, closes: bool) -> None:
        """`certificate` is the path of a file with its key as well."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._socket = socket.create_server((LOOPBACK, 0))
        self._socket.settimeout(_SECONDS)
        self.name = f"{LOOPBACK}:{self._socket.getsockname()[1]}"
        self._answer = answer
        self._closes = closes
        self.data = b""
        """What the client has said, to the end of its request."""

    def serve(self) -> None:
        """Answer one request."""
        accepted, _ = self._socket.accept()
        accepted.settimeout(_SECONDS)
        with self._socket, self._context.wrap_socket(accepted, server_side=True) as tls:
            while not _is_complete(self.data):
                self.data += tls.recv(65536)
            tls.sendall(self._answer)
            while not self._closes and tls.recv(65536):
                pass


def _is_complete(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if re.search(rb"transfer-encoding: ?chunked", head, re.IGNORECASE):
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"content-length: ?(\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)
