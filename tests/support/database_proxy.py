"""What lies between an endpoint and PostgreSQL, and may break at the worst moment."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from scripts.processes import LOOPBACK


class Proxy:
    """Carries connections to a server, until it is told to lose what is committed."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self.loses_commits = False
        """Whether a COMMIT is carried to the server, and its answer is not."""

        self.lost = 0
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more connections; those that are there end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = Thread(target=self._carry, args=[client], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(client)
            server = socket.create_connection((LOOPBACK, self._upstream))
            stack.enter_context(server)
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(65536)
                        target.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    if self.loses_commits and target is server and b"COMMIT\0" in data:
                        # By the time that the server answers, it has committed.
                        server.recv(65536)
                        self.lost += 1
                        return


@contextmanager
def running_proxy(port: int) -> Iterator[Proxy]:
    """A proxy to a server; what was opened through it has to be closed before it is."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
