"""A client of HTTP over TLS that sends bytes as it is told, and reads answers."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase

from scripts.processes import LOOPBACK
from tests.support.eventually import ANSWER_SECONDS
from tests.support.http_connection import Answer
from tests.support.trusting_client import TRUSTING


class Talk:
    """One connection."""

    def __init__(self, connection: ssl.SSLSocket, stream: BufferedIOBase) -> None:
        """`stream` is what is read from the connection."""
        self._connection = connection
        self._stream = stream

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._connection.sendall(data)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer; raises `EOFError` where there is none any more."""
        first = self._stream.readline()
        if not first:
            raise EOFError
        version, status, _ = first.decode("ascii").split(" ", 2)
        headers: dict[str, str] = {}
        while line := self._stream.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("ascii").partition(": ")
            headers[name.lower()] = value
        length = 0 if to_head else int(headers.get("content-length", "0"))
        body = self._stream.read(length)
        return Answer(version.removeprefix("HTTP/"), int(status), headers, body)

    @property
    def is_closed(self) -> bool:
        """Whether the server ends the connection without another word.

        That is waited for; raises `TimeoutError` where nothing comes.
        """
        try:
            self.answer()
        except EOFError:
            return True
        return False


@contextmanager
def talking(port: int, source: str | None = None) -> Iterator[Talk]:
    """A connection, from `source`, to a loopback server of whatever certificate."""
    plain = socket.create_connection(
        (LOOPBACK, port), timeout=ANSWER_SECONDS, source_address=source and (source, 0)
    )
    with TRUSTING.wrap_socket(plain) as connection, connection.makefile("rb") as stream:
        yield Talk(connection, stream)
