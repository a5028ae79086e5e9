"""Forged requests keep no honest new server waiting: a real daemon."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v1
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.certificates import issue_for
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.pdus import message
from tests.support.recording_peers import signing_key
from tests.support.signed_requests import Peer
from tests.support.strangers import attack, name_server, silent_server
from tests.support.trusting_client import connect, read

US = ServerName.parse("us.test")
KEY = signing_key()

ELSEWHERE = "127.8.0.1"  # where no stranger is

CONFIGURATION = """
[dns]
servers = ["{nameserver}"]

[network]
allow = ["127.0.0.0/8"]

[verification]
system_roots = false

[discovery]
well_known = false
"""

# What is sent before an honest server comes: it takes every slot that there is.
_REQUESTS_BEFORE = 180
_TRANSACTIONS_BEFORE = 12


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Endpoint]:
    """A daemon that knows no server."""
    with name_server() as where:
        configuration = CONFIGURATION.format(nameserver=where)
        endpoint = make_endpoint(tmp_path / "us", US.name, configuration)
        with endpoint.running() as process:
            first_line(process)
            yield endpoint


class _Keys(BaseHTTPRequestHandler):
    """Answers with a version 1 document, and that there is nothing else."""

    protocol_version = "HTTP/1.1"
    document = b""

    def do_GET(self) -> None:
        is_v1 = self.path == "/_matrix/key/v1"
        body = self.document if is_v1 else b"{}"
        self.send_response(200 if is_v1 else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def honest_server(host: str, folder: Path) -> Iterator[ServerName]:
    """A server that serves its key document at once; its name."""
    issued = issue_for(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.write(folder)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = ThreadingHTTPServer((LOOPBACK, 0), _Keys)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    name = ServerName.parse(f"{host}:{server.server_address[1]}")
    document = build_v1(name, issued.value.leaf, [KEY])
    server.RequestHandlerClass = type("Keys", (_Keys,), {"document": encode(document)})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Transaction:
    """What a server sends, and how long it waits for the answer."""

    txn_id: str = "1"
    pdus: Sequence[Json] = ()
    seconds: float = HANGING_SECONDS
    client: str = LOOPBACK
    """The address that it comes from."""


def send(
    daemon: Endpoint, origin: ServerName, transaction: Transaction
) -> tuple[int, Json]:
    """Send a signed transaction; status and body of the answer."""
    target = f"/_matrix/federation/v1/send/{transaction.txn_id}"
    content: Json = {"pdus": list(transaction.pdus), "edus": []}
    request = FederationRequest("PUT", target, origin, US, content)
    headers = {"Authorization": str(request.sign([KEY])[0])}
    connection = connect(
        daemon.port, source=transaction.client, seconds=transaction.seconds
    )
    with closing(connection):
        connection.request("PUT", target, encode(content), headers)
        status, body, _ = read(connection)
    return status, json.loads(body)


def assert_answered(daemon: Endpoint, folder: Path) -> None:
    """See that servers that are new are answered, and none waits for others.

    While each is answered, another new server is silent: it is given up after ten
    seconds, and whoever waits for strangers waits for longer.
    """
    numbers = count()

    def is_answered_meanwhile() -> bool:
        number = next(numbers)
        with ThreadPoolExecutor(1) as pool, socket.create_server((LOOPBACK, 0)) as slow:
            slow.settimeout(HANGING_SECONDS)
            origin = ServerName.parse(f"slow{number}.test:{slow.getsockname()[1]}")
            waiting = pool.submit(send, daemon, origin, Transaction(client=ELSEWHERE))
            connection, _ = slow.accept()
            with connection, honest_server(f"honest{number}.test", folder) as name:
                status, body = send(daemon, name, Transaction())
                is_meanwhile = not waiting.done()
        assert (status, body) == (200, {"pdus": {}})
        return is_meanwhile

    for _ in range(3):
        # On a slow machine, the silent one may have been given up already.
        eventually(is_answered_meanwhile)


@pytest.mark.parametrize(
    "how",
    [
        "one_address",
        "one_domain",
        "one_target",
        "ten_addresses",
        "silent_names",
        "notary",
    ],
)
def test_honest_servers_are_answered(
    how: str, daemon: Endpoint, tmp_path: Path
) -> None:
    """While strangers take all that there is, new servers are answered in time."""
    with attack(daemon.port, _REQUESTS_BEFORE, how):
        assert_answered(daemon, tmp_path)


def test_events_of_silent_servers(daemon: Endpoint, tmp_path: Path) -> None:
    """Transactions that name fifty silent servers each keep no new server waiting."""
    is_over, sent = threading.Event(), threading.Semaphore(0)

    def crowd(origin: ServerName, client: str, port: int) -> None:
        for number in count():
            if is_over.is_set():
                return
            pdus = [
                message(
                    peer=_silent(f"{port}c{client[-1]}n{number}x{n}", port), depth=n
                )
                for n in range(50)
            ]
            # Who is left alone by its client goes on working all the same.
            with suppress(OSError):
                transaction = Transaction(f"{number}", pdus, 1.0, client)
                send(daemon, origin, transaction)
            sent.release()

    with ExitStack() as stack:
        port = stack.enter_context(silent_server())
        threads = []
        for number in range(4):
            server = honest_server(f"crowd{number}.test", tmp_path)
            arguments = (stack.enter_context(server), f"127.0.1.{number + 1}", port)
            threads.append(threading.Thread(target=crowd, args=arguments, daemon=True))
        for thread in threads:
            thread.start()
        try:
            for _ in range(_TRANSACTIONS_BEFORE):
                assert sent.acquire(timeout=HANGING_SECONDS)
            assert_answered(daemon, tmp_path)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


def _silent(label: str, port: int) -> Peer:
    """A server that has signed an event, and never answers."""
    return Peer(ServerName.parse(f"h.evil{label}.test:{port}"), signing_key())
