"""Load: requests that wrk sends, as many as there are, over several connections.

Rules: the bytes of a request are made before the measurement. It counts only if each
request is answered with 200.
"""

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.table import Sample
from scripts.benchmarks.usage import cpu_seconds, resident_megabytes
from scripts.processes import LOOPBACK, ProcessError

_SCRIPT = Path(__file__).with_name("wrk.lua")
_SECONDS = 120  # for one round of the slowest server


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is under load."""

    pid: int
    url: str
    starting: float = 0.0
    """CPU seconds that it took until it listened."""

    idle: float = 0.0
    """Megabytes that it occupied then."""

    @classmethod
    def listening(cls, pid: int, port: int) -> "Server":
        """A process that has just begun to listen."""
        url = f"https://{LOOPBACK}:{port}"
        return cls(pid, url, cpu_seconds(pid), resident_megabytes(pid))


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that are sent in one round."""

    path: Path
    count: int
    connections: int


def write(
    path: Path, requests: Sequence[bytes], connections: int, count: int | None = None
) -> Load:
    """Write requests for wrk to send; all once, or the first `count` times."""
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n%b" % (len(request), request))
    return Load(path, len(requests) if count is None else count, connections)


def get(target: str, *, closes: bool = False) -> bytes:
    """A GET as it is on the wire; `closes`: with a connection of its own."""
    close = "Connection: close\r\n" if closes else ""
    return f"GET {target} HTTP/1.1\r\nHost: {LOOPBACK}\r\n{close}\r\n".encode("ascii")


def run(server: Server, load: Load) -> Sample:
    """Send, and measure the CPU time of the server for each request, microseconds.

    Raises `ProcessError` where a request is not answered as it should be.
    """
    command = [
        "wrk",
        "--threads=1",
        f"--connections={load.connections}",
        f"--duration={_SECONDS}s",
        "--timeout=30s",
        f"--script={_SCRIPT}",
        server.url,
        "--",
        str(load.path),
        str(load.count),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as wrk:
        assert wrk.stdout is not None  # noqa: S101 - for the type checker
        said: list[str] = []
        begun = ended = (0.0, 0.0)
        for line in wrk.stdout:
            if line == "begun\n":
                begun = cpu_seconds(server.pid), time.monotonic()
            elif line == "ended\n":
                ended = cpu_seconds(server.pid), time.monotonic()
                wrk.send_signal(signal.SIGINT)
            said.append(line)
    if not said[-1].endswith(" answered, 0 of them refused, 0 failed\n"):
        raise ProcessError(f"{load.path.name} at {server.url}: {''.join(said)}")
    cpu, clock = (after - before for after, before in zip(ended, begun, strict=True))
    return Sample(cpu / load.count * 1e6, load.count / clock)
