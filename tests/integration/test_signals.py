"""How a daemon ends: what is in flight gets whole answers, and nothing is lost."""

import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Condition, Thread

import pytest

from homeserver.config.reader import load
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.daemons import endpoints
from tests.support.endpoint_keys import ALPHA, BETA, signing_keys
from tests.support.eventually import ANSWER_SECONDS
from tests.support.trusting_client import TRUSTING

SECONDS = ANSWER_SECONDS
REQUESTS = 30  # that are answered before the signal comes

# Of one origin, that many requests are worked on and waited for at once.
CLIENTS = 3

_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


def connect(endpoint: Endpoint) -> ssl.SSLSocket:
    """A TLS connection."""
    plain = socket.create_connection((LOOPBACK, endpoint.port), timeout=SECONDS)
    return TRUSTING.wrap_socket(plain, suppress_ragged_eofs=True)


def signed_put(txn_id: str, key: SigningKey) -> bytes:
    """A transaction of B to A, as it is on the wire."""
    target = f"/_matrix/federation/v1/send/{txn_id}"
    edu = {"edu_type": "m.test", "content": {"txn_id": txn_id}}
    content: dict[str, object] = {
        "origin": BETA.name,
        "origin_server_ts": 1,
        "pdus": [],
        "edus": [edu],
    }
    [authorization] = FederationRequest("PUT", target, BETA, ALPHA, content).sign([key])
    body = encode(content)
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: {ALPHA}\r\nAuthorization: {authorization}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_answer(connection: socket.socket) -> tuple[bytes, bool]:
    """What came of an answer, and whether that is a whole one."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and length is not None and len(body) >= int(length[1]):
            return received, len(body) == int(length[1])
        try:
            more = connection.recv(65536)
        except (ssl.SSLError, ConnectionError):
            more = b""
        if not more:
            return received, False
        received += more


@dataclass
class Clients:
    """Requests, as fast as they are answered, until there is no answer."""

    endpoint: Endpoint
    key: SigningKey
    delivered: set[str] = field(default_factory=set)
    """The transactions that were answered with 200."""

    broken: list[bytes] = field(default_factory=list)
    """What came instead of one whole 200, or nothing."""

    last: int = 0
    """How many were told that this was the last answer."""

    one_more: Condition = field(default_factory=Condition)

    def start(self) -> list[Thread]:
        """Start all of them."""
        threads = [Thread(target=self._run, args=(name,)) for name in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _run(self, name: int) -> None:
        numbers = count()
        # Reset: it was closed while this connection waited to be taken.
        with suppress(ConnectionRefusedError, ConnectionResetError):  # it is over
            while True:
                with suppress(ssl.SSLError, ConnectionResetError):
                    connection = connect(self.endpoint)
                    with closing(connection):
                        self._use(connection, name, numbers)

    def _use(
        self, connection: ssl.SSLSocket, name: int, numbers: Iterator[int]
    ) -> None:
        for number in numbers:
            txn_id = f"{name}-{number}"
            with suppress(ConnectionError, ssl.SSLError):
                connection.sendall(signed_put(txn_id, self.key))
            answer, is_whole = read_answer(connection)
            with self.one_more:
                if is_whole and answer.startswith(b"HTTP/1.1 200 "):
                    self.delivered.add(txn_id)
                elif answer:
                    self.broken.append(answer)
                self.last += b"Connection: close" in answer
                self.one_more.notify_all()
            if not is_whole or b"Connection: close" in answer:
                return


def test_nothing_is_lost_when_it_ends_under_load(tmp_path: Path) -> None:
    """SIGTERM under load: no answer is cut off, and each 200 is in the store."""
    with endpoints(tmp_path, ALPHA.name, BETA.name) as [alpha, beta]:
        [key] = signing_keys(beta)
        clients = Clients(alpha, key)
        with alpha.running() as process, beta.running() as other:
            first_line(process)
            first_line(other)
            threads = clients.start()
            with clients.one_more:
                assert clients.one_more.wait_for(
                    lambda: len(clients.delivered) >= REQUESTS, SECONDS
                )
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
            for thread in threads:
                thread.join(SECONDS)
                assert not thread.is_alive()
        assert clients.broken == []
        # Who was in the middle of a request was answered: nobody was just cut off.
        assert clients.last > 0
        with alpha.running() as process:
            first_line(process)
            kept = {
                transaction["txn_id"]
                for transaction in alpha.ask("received", "--origin", BETA.name)
            }
        assert clients.delivered <= kept
        assert "in flight" not in alpha.log.read_text()


@dataclass
class HalfARequest:
    """A daemon that was told to end while a request is on its way to it."""

    endpoint: Endpoint
    process: subprocess.Popen[str]
    connection: ssl.SSLSocket
    rest: bytes

    def wait_until_closed(self) -> None:
        """Wait until no new connection is accepted."""
        deadline = time.monotonic() + SECONDS
        # Reset: it was closed while this connection waited to be taken.
        with suppress(ConnectionRefusedError, ConnectionResetError):
            while time.monotonic() < deadline:
                socket.create_connection((LOOPBACK, self.endpoint.port)).close()


def half_a_request(folder: Path, shutdown_seconds: float) -> Iterator[HalfARequest]:
    """Send half of a request, and then SIGTERM."""
    endpoint = make_endpoint(folder / "alpha", "alpha.test", "")
    text = endpoint.configuration.read_text()
    endpoint.configuration.write_text(f"shutdown_seconds = {shutdown_seconds}\n{text}")
    with endpoint.running() as process:
        first_line(process)
        with closing(connect(endpoint)) as connection:
            request = b"GET /_matrix/key/v1 HTTP/1.1\r\nHost: alpha.test\r\n\r\n"
            connection.sendall(request[:40])
            # Nothing tells that the half has arrived, but an answer to what came after.
            with closing(connect(endpoint)) as another:
                another.sendall(request)
                assert read_answer(another)[1]
            process.send_signal(signal.SIGTERM)
            half = HalfARequest(endpoint, process, connection, request[40:])
            half.wait_until_closed()
            yield half


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[HalfARequest]:
    """It waits for longer than any test."""
    yield from half_a_request(tmp_path, 10 * SECONDS)


def test_a_request_that_has_begun_is_answered(patient: HalfARequest) -> None:
    """What was on its way when the signal came is answered, and then it ends."""
    patient.connection.sendall(patient.rest)
    answer, is_whole = read_answer(patient.connection)
    assert is_whole
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert patient.process.wait(SECONDS) == 0
    assert "in flight" not in patient.endpoint.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    number: signal.Signals, patient: HalfARequest
) -> None:
    """The second signal ends it: no waiting, no success, and no traceback."""
    patient.process.send_signal(number)
    assert patient.process.wait(SECONDS) == 128 + number


def test_it_waits_for_no_longer_than_configured(tmp_path: Path) -> None:
    """A request that never arrives whole does not keep it from ending."""
    for half in half_a_request(tmp_path, 0.1):
        assert half.process.wait(SECONDS) == 0
        assert "stopped with work in flight" in half.endpoint.log.read_text()


def test_nobody_who_only_waits_keeps_it(tmp_path: Path) -> None:
    """A request that waits for news is answered; an idle connection is closed."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    text = endpoint.configuration.read_text()
    endpoint.configuration.write_text(f"shutdown_seconds = {10 * SECONDS}\n{text}")
    control = load(endpoint.configuration).control
    assert control.listen is not None
    token = control.token_file.read_text().strip()
    with endpoint.running() as process, ExitStack() as stack:
        first_line(process)
        idle = stack.enter_context(closing(connect(endpoint)))
        idle.sendall(b"GET /_matrix/key/v1 HTTP/1.1\r\nHost: alpha.test\r\n\r\n")
        assert read_answer(idle)[1]
        waiting = []
        for target in ("/v1/received?wait=60", "/v1/refused?wait=60"):
            where = (LOOPBACK, control.listen.port)
            client = socket.create_connection(where, timeout=SECONDS)
            waiting.append(stack.enter_context(closing(client)))
            head = (
                f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {token}\r\n\r\n"
            )
            client.sendall(head.encode())
        endpoint.ask("health")  # its answer comes after those requests were read
        process.send_signal(signal.SIGTERM)
        for client in waiting:
            answer, is_whole = read_answer(client)
            assert is_whole
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert process.wait(SECONDS) == 0
    assert "in flight" not in endpoint.log.read_text()
