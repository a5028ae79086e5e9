"""A server that others have restarted by `python -m scripts.restartable PATH`.

Rules: the command ends when the server accepts requests again.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from scripts.processes import ProcessError

Running = Callable[[], AbstractContextManager[object]]
"""Runs a server; within the context, it accepts requests. Raises `ProcessError`."""

_UP = b"up"


@contextmanager
def restartable(running: Running, path: Path) -> Iterator[str]:
    """Run a server; the command that restarts it, which asks at a socket at `path`."""
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as server:
        listener.bind(str(path))
        listener.listen()
        server.enter_context(running())
        thread = threading.Thread(target=_serve, args=(listener, running, server))
        thread.start()
        try:
            yield f"{sys.executable} -m scripts.restartable {path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, running: Running, server: ExitStack) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            server.close()
            try:
                server.enter_context(running())
            except ProcessError as problem:
                connection.sendall(str(problem).encode("utf-8"))
            else:
                connection.sendall(_UP)


def main() -> int:
    """Have it restarted; returns the exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    if said == _UP:
        return 0
    print(said.decode("utf-8") or "it does not start", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
