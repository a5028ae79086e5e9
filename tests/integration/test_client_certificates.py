"""Client certificates, shown to real endpoints over real sockets."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from twisted.web.http_headers import Headers

from homeserver.app.endpoint import Endpoint
from homeserver.config import reader
from homeserver.config.values import VerificationMethod
from homeserver.identity import identity, new_endpoint
from homeserver.inbound.client_certificates import Demand
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import FederationRequest
from scripts.processes import LOOPBACK, first_line, free_ports, running_nameserver
from scripts.processes import Endpoint as Process
from tests.support.certificates import Issued, authority, issue, issue_for
from tests.support.certified_client import US, Answer, Client
from tests.support.daemons import endpoints, send_in_vain
from tests.support.recording_peers import (
    RecordingPeer,
    http,
    key_document,
    listening,
    signing_key,
)
from tests.support.tables import cases
from tests.support.waiting import reactor, wait

HOST = "origin.test"
CA = authority()
BETWEEN = issue("Between", None, issuer=CA, is_authority=True)

OWN = issue_for(HOST)
"""What the origin's server shows, and its key document names."""

PROVING = issue_for(HOST, BETWEEN)
"""What proves its name by authority and intermediate; its server shows another."""

FOREIGN = issue_for(HOST)
"""What only its owner knows."""

OTHER_NAME = issue_for("other.test", CA)

VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]
ASKED = "read server certificate request"

BOTH: tuple[VerificationMethod, ...] = ("certificate", "key-document")


class Origin:
    """A server that serves its key document, and sends signed requests."""

    def __init__(self) -> None:
        self.peer = RecordingPeer(OWN, http(b"{}"))

    @property
    def name(self) -> ServerName:
        """Its name, with the port at which it listens."""
        return ServerName.parse(f"{HOST}:{self.peer.port}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let it be reached."""
        with listening(self.peer):
            self.show(OWN)
            yield

    def show(self, issued: Issued) -> None:
        """Show a certificate from now on."""
        self.peer.issued = issued
        self.peer.respond = http(key_document(self.name.name, issued))

    def send(self, client: Client, txn_id: str = "1") -> Answer:
        """Send a transaction, signed."""
        target = f"/_matrix/federation/v1/send/{txn_id}"
        content: Json = {"pdus": [], "edus": []}
        request = FederationRequest("PUT", target, self.name, US, content)
        headers = Headers({"Content-Type": ["application/json"]})
        for authorization in request.sign([signing_key()]):
            headers.addRawHeader("Authorization", str(authorization))
        return client.ask("PUT", target, headers, encode(content))


@dataclass(frozen=True)
class Receiver:
    """An endpoint that runs in this process, with all that it has."""

    folder: Path
    port: int

    @property
    def received(self) -> list[tuple[str, str, str | None]]:
        """The stored transactions: origin, ID and certificate."""
        connection = sqlite3.connect(self.folder / "homeserver.db")
        try:
            return connection.execute(
                "SELECT origin, txn_id, client_certificate"
                " FROM received_transactions ORDER BY id"
            ).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def nameserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the DNS is asked."""
    folder = tmp_path_factory.mktemp("dns")
    [port] = free_ports(1)
    zone = [f"{HOST} A {LOOPBACK}"]
    with running_nameserver(f"{LOOPBACK}:{port}", zone, folder / "dns.log") as where:
        yield where


Receiving = Callable[..., Receiver]


@pytest.fixture
def receiving(tmp_path: Path, nameserver: str) -> Iterator[Receiving]:
    """Starts an endpoint that asks clients for certificates as it is told."""
    started: list[Endpoint] = []

    def start(
        demand: Demand, methods: tuple[VerificationMethod, ...] = BOTH
    ) -> Receiver:
        anywhere = SocketAddress(LOOPBACK, 0)
        new_endpoint.create(tmp_path, new_endpoint.Settings(US, anywhere, anywhere))
        (tmp_path / "ca.pem").write_bytes(CA.pem)
        path = tmp_path / "homeserver.toml"
        with path.open("a") as file:
            file.write(
                f'[tls]\nclient_certificates = "{demand}"\n'
                f"[verification]\nmethods = {list(methods)!r}\n"
                'ca_file = "ca.pem"\nsystem_roots = false\n'
                f'[dns]\nservers = ["{nameserver}"]\n'
                '[network]\nallow = ["127.0.0.0/8"]\n'
            )
        config = reader.load(path)
        endpoint = Endpoint(
            path, config, identity.load_all(path, config), reactor, Random(1)
        )
        [where] = wait(endpoint.start()).values()
        started.append(endpoint)
        return Receiver(tmp_path, where.port)

    yield start
    for endpoint in started:
        wait(endpoint.stop())


@pytest.fixture
def origin() -> Iterator[Origin]:
    """A server that can be reached."""
    origin = Origin()
    with origin.listening():
        yield origin


def sha256(issued: Issued) -> str:
    """A certificate's fingerprint, as openssl tells it without the colons."""
    return issued.certificate.fingerprint(hashes.SHA256()).hex()


OK = (200, None)
NO = (403, "M_FORBIDDEN")

# What is demanded, what is shown, what is answered.
SHOWN: list[tuple[str, Demand, Issued | None, tuple[int, str | None]]] = [
    ("own", "if-presented", OWN, OK),
    ("own, required", "required", OWN, OK),
    ("proven by a CA", "if-presented", PROVING, OK),
    ("proven by a CA, required", "required", PROVING, OK),
    ("self-signed", "if-presented", FOREIGN, NO),
    ("self-signed, required", "required", FOREIGN, NO),
    ("proven by a CA, of another name", "if-presented", OTHER_NAME, NO),
    (
        "of a CA's that is not trusted",
        "if-presented",
        issue_for(HOST, authority("Another CA")),
        NO,
    ),
    (
        "expired",
        "if-presented",
        issue("x", [x509.DNSName(HOST)], issuer=CA, days=(-9, -2)),
        NO,
    ),
    ("none", "if-presented", None, OK),
    ("none, required", "required", None, NO),
    ("own, ignored", "ignore", OWN, OK),
    ("foreign, ignored", "ignore", FOREIGN, OK),
]


@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
@cases("demand issued outcome", SHOWN)
def test_transaction(
    receiving: Receiving,
    origin: Origin,
    demand: Demand,
    issued: Issued | None,
    outcome: tuple[int, str | None],
    version: int,
) -> None:
    """What a connection shows decides about its request, in resumed sessions as well.

    What is stored tells the certificate that was checked.
    """
    receiver = receiving(demand)
    client = Client(receiver.port, issued, version)
    first = origin.send(client, "1")
    client.session = first.session
    second = origin.send(client, "2")
    assert first.version == second.version
    assert first.version == {VERSIONS[0]: "TLSv1.2"}.get(version, "TLSv1.3")
    assert (first.was_resumed, second.was_resumed) == (False, True)
    assert first.outcome == second.outcome == outcome
    stored = None if issued is None or demand == "ignore" else sha256(issued)
    expected = [(origin.name.name, txn_id, stored) for txn_id in ("1", "2")]
    assert receiver.received == (expected if outcome == OK else [])


@pytest.mark.parametrize("version", VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize(
    ("demand", "is_asked"),
    [("ignore", False), ("if-presented", True), ("required", True)],
)
def test_is_asked(
    receiving: Receiving,
    origin: Origin,
    demand: Demand,
    is_asked: bool,  # noqa: FBT001 - a parameter of the test
    version: int,
) -> None:
    """A client is asked for its certificate unless certificates are ignored."""
    client = Client(receiving(demand).port, OWN, version)
    assert (ASKED in origin.send(client).steps) == is_asked


@pytest.mark.parametrize("issued", [None, FOREIGN], ids=["none", "foreign"])
@pytest.mark.parametrize(
    "target",
    ["/_matrix/key/v1", "/_matrix/key/v2/server", "/_matrix/federation/v1/version"],
)
def test_open_routes(receiving: Receiving, issued: Issued | None, target: str) -> None:
    """What needs no signature needs no certificate either, and minds no wrong one."""
    client = Client(receiving("required").port, issued)
    assert client.ask("GET", target, Headers()).status == 200


EDU = '{"edu_type": "m.test", "content": {}}'


@contextmanager
def pair(
    folder: Path, sending: str, receiving: str
) -> Iterator[tuple[Process, Process]]:
    """Two endpoints that run, each with its own lines in `[tls]`."""
    with endpoints(folder, "alpha.test", "beta.test") as [alpha, beta]:
        for each, tls in ((alpha, sending), (beta, receiving)):
            with each.configuration.open("a") as file:
                file.write(f"[tls]\n{tls}\n")
        with alpha.running() as first, beta.running() as second:
            first_line(first)
            first_line(second)
            yield alpha, beta


def test_our_own_is_presented(tmp_path: Path) -> None:
    """An endpoint presents its certificate to another one, which tells which it was."""
    demanded = 'client_certificates = "required"'
    with pair(tmp_path, "present_client_certificate = true", demanded) as [alpha, beta]:
        alpha.ask("send", beta.name, "--edu", EDU)
        [transaction] = beta.ask("received")
    own = x509.load_pem_x509_certificate((alpha.folder / "tls.crt").read_bytes())
    assert transaction["verified_by"]["client_certificate"] == (
        own.fingerprint(hashes.SHA256()).hex()
    )


def test_our_own_is_not_presented(tmp_path: Path) -> None:
    """An endpoint that keeps its certificate to itself is taken where none is due."""
    with pair(tmp_path, "present_client_certificate = false", "") as [alpha, beta]:
        alpha.ask("send", beta.name, "--edu", EDU)
        [transaction] = beta.ask("received")
    assert transaction["verified_by"]["client_certificate"] is None


def test_our_own_is_missing(tmp_path: Path) -> None:
    """An endpoint that demands a certificate refuses a client without one."""
    demanded = 'client_certificates = "required"'
    with pair(tmp_path, "present_client_certificate = false", demanded) as [
        alpha,
        beta,
    ]:
        said = send_in_vain(alpha, beta.name, EDU)
        assert beta.ask("received") == []
    assert "M_FORBIDDEN" in said
    assert "requires a TLS client certificate" in said
