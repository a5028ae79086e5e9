"""Servers that are called by their address, and a daemon that knows none of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.web.http_headers import Headers

from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import build_v2
from homeserver.protocol.signing import SigningKey, sign
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, Endpoint, first_line, make_endpoint
from tests.support.certificates import Issued
from tests.support.certified_client import US, Answer, Client
from tests.support.recording_peers import RecordingPeer, http, key_document, signing_key
from tests.support.waiting import reactor

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8"]

[verification]
system_roots = false
"""

FIRST, REBUILT = (signing_key("auto", bytes([number]) * 32) for number in (1, 2))


@contextmanager
def running_daemon(folder: Path) -> Iterator[Endpoint]:
    """A daemon that knows no server."""
    endpoint = make_endpoint(folder / "us", US.name, _CONFIGURATION)
    with endpoint.running() as process:
        first_line(process)
        yield endpoint


def build(peer: RecordingPeer, key: SigningKey, issued: Issued, **more: object) -> None:
    """Let a server have a key and a certificate from now on."""
    name = name_of(peer)
    until = int(wall_seconds(reactor) * 1000) + 3_600_000
    document = build_v2(name, [key], [], until, [issued.value.leaf])
    document = sign({**document, **more, "signatures": {}}, name, [key])
    peer.issued = issued
    peer.respond = http(key_document(name.name, issued, key))
    peer.respond_v2 = http(encode(document))


def name_of(peer: RecordingPeer) -> ServerName:
    """What a server is called."""
    return ServerName.parse(f"{LOOPBACK}:{peer.port}")


def send(daemon: Endpoint, peer: RecordingPeer, key: SigningKey, txn_id: str) -> Answer:
    """Send a transaction of a server, signed with a key that may be its own."""
    target = f"/_matrix/federation/v1/send/{txn_id}"
    content: Json = {"pdus": [], "edus": []}
    request = FederationRequest("PUT", target, name_of(peer), US, content)
    headers = Headers({"Content-Type": ["application/json"]})
    for authorization in request.sign([key]):
        headers.addRawHeader("Authorization", str(authorization))
    return Client(daemon.port).ask("PUT", target, headers, encode(content))
