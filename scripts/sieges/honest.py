"""Two honest servers that send each other transactions, and how long each one takes.

Rules: the time of a transaction begins when it is due, and ends when its sender's
daemon reports it as delivered. At the end each side has each of the other's events
once, in the order in which they were queued.
"""

import http.client
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Lock, Thread
from typing import Any

from homeserver.config.reader import load
from scripts.processes import Endpoint

_CLIENTS = 30  # of each side: what is delivered slowly does not hold up the next
_WAIT_SECONDS = 60.0

_REQUESTS = re.compile(
    r'^homeserver_http_requests_total\{.*listener="federation".*\} (\S+)$', re.MULTILINE
)


class Panel:
    """The control API of an endpoint, over one connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        config = load(endpoint.configuration)
        assert config.control.listen is not None  # noqa: S101 - it was made so
        self._listen = config.control.listen
        token = config.control.token_file.read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, target: str, content: Any = None) -> dict[str, Any]:
        """The answer to a request; raises `OSError` for any status but 200 and 202."""
        found: dict[str, Any] = json.loads(self.read(method, target, content))
        return found

    def count_requests(self) -> int:
        """How many requests of other servers were answered."""
        text = self.read("GET", "/metrics").decode()
        self.close()  # the endpoint closes an idle connection
        return sum(int(float(each)) for each in _REQUESTS.findall(text))

    def read(self, method: str, target: str, content: Any = None) -> bytes:
        """The body of the answer; raises as `ask` does."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._listen.host, self._listen.port, timeout=_WAIT_SECONDS + 30
            )
        body = None if content is None else json.dumps(content)
        try:
            self._connection.request(method, target, body, self._headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise OSError(f"{method} {target}: {problem!r}") from None
        if response.status not in {200, 202}:
            raise OSError(f"{method} {target}: {response.status} {data[:200]!r}")
        return data

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Side:
    """What one of the two sends to the other."""

    sender: Endpoint
    receiver: Endpoint
    rate: float
    seconds: list[float] = field(default_factory=list)
    """How long each delivery took."""

    queued: dict[int, int] = field(default_factory=dict)
    """The number of each event, by the ID of its entry."""

    failures: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def start(self) -> list[Thread]:
        """Send at a steady rate, until it is stopped."""
        begun, numbers = time.monotonic(), count()
        threads = [
            Thread(target=self._run, args=(begun, numbers), daemon=True)
            for _ in range(_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, begun: float, numbers: Iterator[int]) -> None:
        panel = Panel(self.sender)
        for number in numbers:
            due = begun + number / self.rate
            if self.stop.wait(max(0.0, due - time.monotonic())):
                break
            try:
                self._send(panel, number, due)
            except OSError as problem:
                self.failures.append(str(problem))
        panel.close()

    def _send(self, panel: Panel, number: int, due: float) -> None:
        target = f"/v1/send/{self.receiver.name}"
        pdu = {
            "type": "m.room.message",
            "room_id": f"!r:{self.sender.name}",
            "sender": f"@user:{self.sender.name}",
            "origin_server_ts": 1,
            "depth": 1,
            "prev_events": [],
            "auth_events": [],
            "content": {"number": number},
        }
        entry = panel.ask("POST", target, {"pdus": [pdu], "room_version": "11"})["id"]
        with self.lock:
            self.queued[entry] = number
        while True:
            state = panel.ask("GET", f"{target}/{entry}?wait={_WAIT_SECONDS:g}")
            if state["state"] not in {"queued", "sending"}:
                break
            if time.monotonic() - due > 10 * _WAIT_SECONDS:
                break
        if state["state"] == "delivered":
            self.seconds.append(time.monotonic() - due)
        else:
            self.failures.append(f"{number} is {state['state']}: {state['error']}")

    def lost(self) -> list[str]:
        """The lost, doubled and misplaced events, a sentence each."""
        panel, arrived, after = Panel(self.receiver), list[int](), 0
        while True:
            page = panel.ask(
                "GET", f"/v1/received?after={after}&origin={self.sender.name}&limit=500"
            )
            if not page["transactions"]:
                break
            for transaction in page["transactions"]:
                for pdu in transaction["pdus"]:
                    arrived.append(pdu["event"]["content"]["number"])
                    if pdu["verdict"] != "accepted":
                        self.failures.append(pdu["verdict"])
            after = page["next"]
        panel.close()
        wanted = [self.queued[entry] for entry in sorted(self.queued)]
        if arrived == wanted:
            return []
        missing, extra = set(wanted) - set(arrived), len(arrived) - len(set(arrived))
        way = f"{self.sender.name} to {self.receiver.name}"
        if not missing and not extra:
            return [f"{way}: not in the order in which they were queued"]
        return [f"{way}: {len(missing)} lost, {extra} twice"]


def percentile(seconds: list[float], part: float) -> float:
    """The value that the given part of them does not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
