"""Strangers who forge requests keep no honest new server waiting: a real daemon."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v1
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.certificates import issue_for
from tests.support.recording_peers import signing_key
from tests.support.strangers import attack, name_server

US = ServerName.parse("us.test")
KEY = signing_key()

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
_SECONDS_BEFORE = 3.0
_PER_SECOND = 60.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Endpoint]:
    """A daemon that knows nobody."""
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


def send(daemon: Endpoint, origin: ServerName) -> tuple[int, Json, float]:
    """Send an honest transaction; status and body of the answer, and its seconds."""
    target = "/_matrix/federation/v1/send/1"
    content: Json = {"pdus": [], "edus": []}
    request = FederationRequest("PUT", target, origin, US, content)
    headers = {"Authorization": str(request.sign([KEY])[0])}
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        LOOPBACK, daemon.port, context=context, timeout=60
    )
    begun = time.monotonic()
    connection.request("PUT", target, encode(content), headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    seconds = time.monotonic() - begun
    connection.close()
    return response.status, body, seconds


@pytest.mark.parametrize(
    ("how", "most"),
    [
        ("one_address", 2.0),
        ("one_domain", 2.0),
        ("one_target", 2.0),
        ("ten_addresses", 5.0),
        ("silent_names", 2.0),
        ("notary", 2.0),
    ],
)
def test_honest_servers_are_answered(
    how: str, most: float, daemon: Endpoint, tmp_path: Path
) -> None:
    """While strangers take all that there is, new servers are answered in time."""
    with attack(daemon.port, _PER_SECOND, how):
        time.sleep(_SECONDS_BEFORE)
        seconds = []
        for number in range(5):
            with honest_server(f"honest{number}.test", tmp_path) as name:
                status, body, taken = send(daemon, name)
                assert (status, body) == (200, {"pdus": {}})
                seconds.append(taken)
    # On a machine that is busy with other things, one may be late.
    assert sorted(seconds)[-2] < most
