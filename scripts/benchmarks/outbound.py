"""The cost of an outbound transaction.

Rules: the other servers are stopped until everything is queued, so that all
transactions have the same size. The measurement lies within the time in which the
queues are full.
"""

import json
import os
import signal
import time
import tomllib
from http.client import HTTPSConnection

from scripts.benchmarks.load import Load, Server, run, write
from scripts.benchmarks.others import DELIVERED, HOST
from scripts.benchmarks.setting import UNVERIFIED, Setting
from scripts.benchmarks.table import Sample
from scripts.benchmarks.usage import cpu_seconds
from scripts.processes import ProcessError

# As many EDUs as a transaction may have: each entry of the queue becomes one.
_EDUS = [{"edu_type": "org.example.bench", "content": {}}] * 100

_SECONDS = 120.0  # for one round
_POLL_SECONDS = 0.02
_CONNECTIONS = 8  # that hand over


class Outbound:
    """Lets our server send to other servers."""

    def __init__(self, setting: Setting, pid: int, others_pid: int) -> None:
        """`pid` is that of our server, `others_pid` that of the others."""
        self._destinations = [each.name for each in setting.others]
        self._folder = setting.endpoint.folder
        configuration = tomllib.loads(setting.endpoint.configuration.read_text())
        self._control = configuration["control"]["listen"]
        self._server = Server(pid, f"http://{self._control}")
        self._others_pid = others_pid
        port = self._destinations[0].port
        self._others = HTTPSConnection(HOST, port, context=UNVERIFIED)

    def measure(self, receivers: int, transactions: int) -> Sample:
        """Send so many transactions, in turn to so many others.

        The CPU time of one, in microseconds. Raises `ProcessError`.
        """
        # A connection to each is there before anything is measured.
        begun = self._delivered()
        run(self._server, self._entries(receivers, receivers))
        self._wait(begun + receivers)
        os.kill(self._others_pid, signal.SIGSTOP)
        try:
            run(self._server, self._entries(receivers, transactions))
        finally:
            os.kill(self._others_pid, signal.SIGCONT)
        first = self._wait(begun + receivers + transactions // 10)
        cpu, clock = cpu_seconds(self._server.pid), time.monotonic()
        last = self._wait(begun + receivers + transactions * 9 // 10)
        cpu = cpu_seconds(self._server.pid) - cpu
        clock = time.monotonic() - clock
        self._wait(begun + receivers + transactions)
        return Sample(cpu / (last - first) * 1e6, (last - first) / clock)

    def _entries(self, receivers: int, count: int) -> Load:
        """Requests to queue so many entries, for the first of the others in turn."""
        token = (self._folder / "control.token").read_text().strip()
        body = json.dumps({"edus": _EDUS})
        requests = [
            f"POST /v1/send/{self._destinations[number % receivers]} HTTP/1.1\r\n"
            f"Host: {self._control}\r\n"
            f"Authorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")
            for number in range(count)
        ]
        return write(self._folder / "entries", requests, min(_CONNECTIONS, count))

    def _wait(self, count: int) -> int:
        """Wait until so many transactions were delivered; how many were."""
        deadline = time.monotonic() + _SECONDS
        while (delivered := self._delivered()) < count:
            if time.monotonic() > deadline:
                raise ProcessError(f"{delivered} transactions delivered, not {count}")
            time.sleep(_POLL_SECONDS)
        return delivered

    def _delivered(self) -> int:
        self._others.request("GET", DELIVERED)
        return int(self._others.getresponse().read())
