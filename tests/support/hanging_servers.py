"""Servers that prove who they are, take a request and never answer it.

Each is an address of the loopback interface and a port, so that nothing has to be
looked up; one process serves all of them.
"""

import contextlib
import selectors
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from socket import create_server, socket
from typing import Literal

from cryptography import x509

from scripts.processes import free_ports
from tests.support.certificates import Issued, issue

_Stage = Literal["handshake", "idle", "waiting"]


class Crowd(threading.Thread):
    """Answers every handshake at its addresses, and nothing else."""

    def __init__(self, addresses: list[str], authority: Issued, folder: Path) -> None:
        super().__init__(name="crowd")
        self._selector = selectors.DefaultSelector()
        self._connections: dict[socket, _Stage] = {}
        self._ends = threading.Event()
        [self.port] = free_ports(1)
        for address in addresses:
            name = x509.IPAddress(IPv4Address(address))
            issue("crowd", [name], issuer=authority).write(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            listener = create_server((address, self.port))
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, context)
        self.ended = 0
        """How many connections have ended after a request."""

    @property
    def waiting(self) -> int:
        """How many connections wait for the answer to a request."""
        return list(self._connections.values()).count("waiting")

    def run(self) -> None:
        """Accept, and hang."""
        while not self._ends.is_set():
            for key, _ in self._selector.select(0.1):
                if isinstance(key.data, ssl.SSLContext):
                    self._accept(key.fileobj, key.data)  # type: ignore[arg-type]
                else:
                    with contextlib.suppress(OSError):
                        self._read(key.data)
        for connection in self._connections:
            connection.close()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def end(self) -> None:
        """Close everything."""
        self._ends.set()
        self.join()

    def _accept(self, listener: socket, context: ssl.SSLContext) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            connection.settimeout(0)
            tls = context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            self._connections[tls] = "handshake"
            self._selector.register(tls, selectors.EVENT_READ, tls)

    def _read(self, tls: ssl.SSLSocket) -> None:
        try:
            if self._connections[tls] == "handshake":
                tls.do_handshake()
                self._connections[tls] = "idle"
            if tls.recv(65536):
                self._connections[tls] = "waiting"
                return
        except ssl.SSLWantReadError:
            return
        except OSError:
            pass
        self._selector.unregister(tls)
        tls.close()
        self.ended += self._connections.pop(tls) == "waiting"


@contextmanager
def hanging(
    addresses: list[str], authority: Issued, folder: Path
) -> Iterator[tuple[Crowd, list[str]]]:
    """A crowd, and the server names that lead to it."""
    folder.mkdir()
    crowd = Crowd(addresses, authority, folder)
    crowd.start()
    try:
        yield crowd, [f"{address}:{crowd.port}" for address in addresses]
    finally:
        crowd.end()
