"""Connections on which hardly anything comes keep no other waiting.

Fifty here, for five bytes each. A thousand for half a minute, a byte a second, with
the times that others wait and the memory of the daemon told:

    SLOW=1000 SECONDS=30 pytest --log-cli-level=INFO tests/integration -k slow
"""

import logging
import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from homeserver.protocol.identifiers import ServerName
from scripts.processes import first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.raw_client import Talk, talking
from tests.support.senders import make_known
from tests.support.signed_requests import Peer, signing_key

SLOW = int(os.environ.get("SLOW", "50"))
SECONDS = float(os.environ.get("SECONDS", "0"))
BYTES = 5

# A thousand from one address are all that it may have.
ELSEWHERE = "127.0.0.2"

ALPHA = ServerName.parse("alpha.test")
BETA = Peer(ServerName.parse("beta.test"), signing_key("b_1", b"5"))

# One half sends headers slowly, the other one a body.
HEADERS = b"PUT /_matrix/federation/v1/send/1 HTTP/1.1\r\n"
BODY = HEADERS + b"Content-Length: 1000\r\n\r\n"


def put(number: int) -> bytes:
    """A transaction with an EDU, signed."""
    target = f"/_matrix/federation/v1/send/{number}"
    header = BETA.authorize("PUT", target, {"pdus": []}, destination=ALPHA)
    return request("PUT", target, [f"Authorization: {header}"], b'{"pdus":[]}')


def waits(talk: Talk, numbers: range) -> list[float]:
    """How long the answers to some transactions take, in seconds."""
    taken = []
    for number in numbers:
        data = put(number)
        begun = time.monotonic()
        talk.send(data)
        assert talk.answer().status == 200
        taken.append(time.monotonic() - begun)
    return taken


def memory(process_id: int) -> float:
    """The resident memory of a process, in megabytes."""
    status = Path(f"/proc/{process_id}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def test_slow_connections_keep_nobody_waiting(tmp_path: Path) -> None:
    """Others are answered while they are held, and they cost little memory."""
    configuration = "[limits]\nrequest_seconds = 600\n"
    alpha = make_endpoint(tmp_path / "alpha", ALPHA.name, configuration)
    with ExitStack() as stack:
        process = stack.enter_context(alpha.running())
        first_line(process)
        make_known(alpha.folder / "homeserver.db", ALPHA, BETA)
        slow = [
            stack.enter_context(talking(alpha.port, ELSEWHERE)) for _ in range(SLOW)
        ]
        for number, each in enumerate(slow):
            each.send(BODY if number % 2 else HEADERS)
        normal = stack.enter_context(talking(alpha.port))
        taken: list[float] = []
        for second in range(max(int(SECONDS), BYTES)):
            due = time.monotonic() + bool(SECONDS)
            for each in slow:
                each.send(b"x")
            taken += waits(normal, range(second * 10, second * 10 + 10))
            time.sleep(max(0.0, due - time.monotonic()))
        used = memory(process.pid)
        normal.send(request("GET", "/_matrix/key/v1"))
        assert normal.answer().status == 200
    logging.getLogger(__name__).info(
        "%d slow: median %.1f ms, slowest %.1f ms, %.0f MB",
        *(SLOW, median(taken) * 1000, max(taken) * 1000, used),
    )
    assert used < 200
