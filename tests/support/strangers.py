"""Forged requests in the names of servers that never answer.

They are a process of their own. The name server knows every name of `.test`, and
answers nothing about those in `silent.test`.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twisted.names import dns

from scripts.processes import LOOPBACK

SILENT = "127.9.0.9"
"""Where names lead whose servers take connections and say nothing."""

_ROOT = Path(__file__).parent.parent.parent


@contextmanager
def name_server() -> Iterator[str]:
    """A name server; where it is asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((LOOPBACK, 0))
        thread = threading.Thread(target=_answer, args=(udp,), daemon=True)
        thread.start()
        try:
            yield f"{LOOPBACK}:{udp.getsockname()[1]}"
        finally:
            udp.sendto(b"", udp.getsockname())
            thread.join()


def _answer(udp: socket.socket) -> None:
    while True:
        try:
            data, asker = udp.recvfrom(4096)
        except OSError:
            continue
        if not data:
            return
        message = dns.Message()
        message.fromStr(data)
        [query] = message.queries
        name = query.name.name.decode("ascii")
        if name.endswith("silent.test"):
            continue
        message.answer = 1
        if query.type == dns.A:
            record = dns.Record_A(SILENT if "evil" in name else LOOPBACK)
            message.answers = [dns.RRHeader(name, dns.A, ttl=0, payload=record)]
        with suppress(OSError):  # of an asker that is gone
            udp.sendto(message.toStr(), asker)


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that takes every connection and never says a word; its port."""
    with socket.create_server((SILENT, 0), backlog=4096) as server:
        yield server.getsockname()[1]


@contextmanager
def attack(port: int, first: int, how: str) -> Iterator[None]:
    """Send forged requests to a daemon all the time, as `forging` can.

    The first ones were sent when the context begins.
    """
    command = [sys.executable, "-m", "tests.support.forging"]
    with silent_server() as silent:
        arguments = [str(port), str(first), how, str(silent)]
        with subprocess.Popen(
            [*command, *arguments], cwd=_ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "begun\n"
                yield
            finally:
                process.kill()
