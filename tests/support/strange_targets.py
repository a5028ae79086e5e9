"""Targets that serve a key document and then go wrong, as threads on loopback."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.certificates import issue_for
from tests.support.eventually import HANGING_SECONDS

Answer = Callable[[int, bytes], bytes | None]
"""Answers a request by its number, from 1 on; None hangs until the end."""


def json_response(body: bytes, status: str = "200 OK") -> bytes:
    """A complete response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode("ascii") + body


class StrangeTarget:
    """A TLS server that answers as it is told, a thread a connection."""

    def __init__(self, answer: Answer, folder: Path) -> None:
        issue_for("localhost").write(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._answer = answer
        self._ended = threading.Event()
        self.requests = 0
        self._came = threading.Condition()

    def serve(self) -> None:
        """Accept connections until `end`."""
        threads: list[threading.Thread] = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            thread = threading.Thread(target=self._talk, args=[connection])
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def wait_for(self, requests: int, seconds: float) -> bool:
        """Whether so many requests come within so many seconds."""
        with self._came:
            return self._came.wait_for(lambda: self.requests >= requests, seconds)

    def end(self) -> None:
        """Take no more connections, and let those that hang end."""
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(HANGING_SECONDS)
        with suppress(OSError), connection:
            tls = self._context.wrap_socket(connection, server_side=True)
            with tls:
                request = tls.recv(65536)
                with self._came:
                    self.requests += 1
                    number = self.requests
                    self._came.notify_all()
                answer = self._answer(number, request)
                if answer is None:
                    self._ended.wait(HANGING_SECONDS)
                else:
                    tls.sendall(answer)


@contextmanager
def strange_target(answer: Answer, folder: Path) -> Iterator[StrangeTarget]:
    """A target that runs for as long as the context."""
    target = StrangeTarget(answer, folder)
    thread = threading.Thread(target=target.serve)
    thread.start()
    try:
        yield target
    finally:
        target.end()
        thread.join()
