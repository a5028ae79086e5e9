"""Servers that are added, replaced and removed while the process runs."""

import http.client
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from threading import Event

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from homeserver.app.credentials import Credentials
from homeserver.app.endpoint import Endpoint
from homeserver.app.listeners import CannotListen
from homeserver.app.server import Server
from homeserver.app.shared import Outside
from homeserver.app.store import Store, passing_store
from homeserver.config.values import (
    Config,
    Control,
    Discovery,
    Network,
    Sending,
    ServerConfig,
    Verification,
)
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument, parse_v1
from homeserver.protocol.signing import SigningKey
from homeserver.storage.outbox.progress import EntryState
from scripts.processes import LOOPBACK, free_ports
from tests.support.certificates import issue_for
from tests.support.key_documents import signing_key
from tests.support.receivers import Receiver, receiving
from tests.support.trusting_client import connect, fetch, read
from tests.support.waiting import reactor, wait, wait_for_thread

A, B, C = (ServerName.parse(f"{name}.test") for name in "abc")
ANY = SocketAddress(LOOPBACK, 0)
EDU: Json = {"edu_type": "m.test", "content": {}}


def key_of(name: ServerName, key_id: str = "1") -> SigningKey:
    """A signing key of a server."""
    return signing_key(KeyId(f"ed25519:{key_id}"), name.name.encode())


def identity(name: ServerName, key_id: str = "1") -> Identity:
    """A server with a certificate of a moment ago."""
    return Identity(name, [key_of(name, key_id)], [], issue_for(name.name).value)


class Process:
    """A process without a server, until the test adds some."""

    def __init__(self, folder: Path, ca_file: Path | None = None) -> None:
        self.store = passing_store(reactor)
        self._folder = folder
        self._ca_file = ca_file
        self.endpoint = self._build()
        wait(self.endpoint.start())

    def _build(self) -> Endpoint:
        config = Config(
            servers=(),
            shutdown_seconds=1,
            verification=Verification(ca_file=self._ca_file, system_roots=False),
            discovery=Discovery(well_known=False),
            network=Network(allow=(AddressRange.parse("127.0.0.0/8"),)),
            sending=Sending(first_retry_seconds=0.1, max_retry_seconds=0.1),
            control=Control(listen=None),
        )
        return Endpoint(
            self._folder / "unread.toml",
            config,
            {},
            reactor,
            Random(1),
            Outside(self._store),
        )

    def _store(self, _: Callable[[int, float], object]) -> Store:
        return self.store

    def add(
        self,
        name: ServerName,
        listen: SocketAddress = ANY,
        *,
        is_own: bool = False,
    ) -> Server:
        """Add a server."""
        config = ServerConfig(server_name=name, listen=listen)
        credentials = Credentials(lambda: identity(name))
        return wait(self.endpoint.add(config, credentials, is_own=is_own))

    def port(self, name: ServerName) -> int:
        """Where a server listens."""
        where = self.endpoint.parts.listeners.address(name)
        assert where is not None
        return where.port


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """One that ends with the test."""
    made = Process(tmp_path)
    yield made
    wait(made.endpoint.stop())


def ask(connection: http.client.HTTPSConnection) -> bytes:
    """The version 1 document, by a connection that stays."""
    connection.request("GET", "/_matrix/key/v1", headers={"Host": "localhost"})
    got = read(connection)
    assert got.status == 200, got.body
    return got.body


def document(port: int, name: ServerName, sni: str | None = None) -> KeyDocument:
    """The key document of a server, which names the certificate that it showed."""
    got = wait_for_thread(
        lambda: fetch(
            port,
            "/_matrix/key/v1",
            sni=name.name if sni is None else sni,
            headers={"Host": "localhost"},
        )
    )
    found = parse_v1(got.body, name)
    assert found.names_certificate(got.certificate)
    return found


def test_no_server(process: Process) -> None:
    """A listener whose last server is removed is closed."""
    process.add(A)
    port = process.port(A)
    assert document(port, A).server_name == A
    wait(process.endpoint.remove(A))
    assert process.endpoint.parts.listeners.address(A) is None
    with pytest.raises(ConnectionRefusedError):
        wait_for_thread(lambda: connect(port, A.name))


def test_one_listener(process: Process) -> None:
    """Servers with one address share a port, and each is there by its name."""
    process.add(A)
    process.add(B)
    assert process.port(A) == process.port(B)
    assert document(process.port(A), B).server_name == B
    wait(process.endpoint.remove(A))
    # It is the listener's own now, whatever the client says.
    assert document(process.port(B), B, "a.test").server_name == B
    process.add(A)
    assert document(process.port(A), A).server_name == A
    assert document(process.port(A), B).server_name == B


def test_own_listeners(process: Process) -> None:
    """A server with a listener of its own is alone there."""
    process.add(A, is_own=True)
    process.add(B, is_own=True)
    assert process.port(A) != process.port(B)
    assert document(process.port(A), A, "b.test").server_name == A
    assert document(process.port(B), B, "a.test").server_name == B


def test_connection_to_a_removed_server(process: Process) -> None:
    """A connection ends with the listener of the removed server, and no other one."""
    process.add(A, is_own=True)
    process.add(B, is_own=True)
    to_a, to_b = (
        wait_for_thread(partial(connect, process.port(name), None)) for name in (A, B)
    )
    wait_for_thread(lambda: ask(to_a))
    wait_for_thread(lambda: ask(to_b))
    wait(process.endpoint.remove(A))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, ssl.SSLError)):
        wait_for_thread(lambda: ask(to_a))
    assert parse_v1(wait_for_thread(lambda: ask(to_b)), B).server_name == B
    to_a.close()
    to_b.close()


def test_replaced(process: Process) -> None:
    """New keys and a new certificate are there at once, for this server alone."""
    process.add(A)
    process.add(B)
    port = process.port(A)
    before = document(port, B)
    process.endpoint.parts.servers.replace(A, identity(A, "2"))
    assert document(port, A).verify_keys.keys() == {"ed25519:2"}
    assert document(port, B) == before


def test_mistakes(process: Process) -> None:
    """What cannot be added leaves nothing behind."""
    process.add(A)
    with pytest.raises(ValueError, match=r"there is a server a\.test already"):
        process.add(A)
    taken = SocketAddress(LOOPBACK, process.port(A))
    with pytest.raises(CannotListen, match="Address already in use"):
        process.add(B, taken)
    assert process.endpoint.parts.listeners.address(B) is None
    process.add(B)
    assert document(process.port(B), B).server_name == B
    with pytest.raises(KeyError):
        wait(process.endpoint.remove(C))


class Held:
    """A receiver's answers, which wait for the test."""

    def __init__(self) -> None:
        self.begun = 0
        self.released = Event()

    def behave(self) -> int:
        """As `Behave`."""
        self.begun += 1
        self.released.wait(20)
        return 200


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not holds():
        await deferLater(reactor, 0.02)


async def state_of(server: Server, to: ServerName, entry: int) -> EntryState:
    """How far an entry is."""
    found = await server.outgoing.state(to, entry, 0)
    assert found is not None
    return found


def test_work_in_flight(tmp_path: Path) -> None:
    """A removed server's attempts end, and what it owes stays; others go on."""
    held = Held()
    with receiving(tmp_path, free_ports(1), held.behave) as ([receiver], _):
        process = Process(tmp_path, tmp_path / "root.crt")
        try:
            _remove_one_of_two(process, receiver, held)
        finally:
            held.released.set()
            wait(process.endpoint.stop())


def _remove_one_of_two(process: Process, receiver: Receiver, held: Held) -> None:
    to = ServerName.parse(receiver.name)
    a, b = process.add(A), process.add(B)
    of_a = wait(a.outgoing.enqueue(to, [], [EDU]))
    of_b = wait(b.outgoing.enqueue(to, [], [EDU]))
    waiting = Deferred.fromCoroutine(a.outgoing.state(to, of_a, 20))
    wait(until(lambda: held.begun == 2))
    wait(process.endpoint.remove(A))
    wait(until(lambda: waiting.called))
    assert wait(state_of(b, to, of_b)).state == "sending"
    held.released.set()
    delivered = wait(b.outgoing.state(to, of_b, 20))
    assert delivered is not None
    assert delivered.state == "delivered"
    # Added again, it sends what it owed, under the same ID.
    again = process.add(A)
    delivered = wait(again.outgoing.state(to, of_a, 20))
    assert delivered is not None
    assert delivered.state == "delivered"
    assert delivered.attempts == 2


def test_many_cost_little(process: Process) -> None:
    """A server that nothing reaches has no part, and no descriptor."""
    files = len(list(Path("/proc/self/fd").iterdir()))
    first = process.add(ServerName.parse("n0.test"))
    servers = [
        wait(
            process.endpoint.add(
                ServerConfig(server_name=ServerName.parse(f"n{n}.test"), listen=ANY),
                Credentials(lambda: pytest.fail("nothing needs its keys")),
                (),
            )
        )
        for n in range(1, 200)
    ]
    made = {"name", "credentials", "_config", "_shared", "_attempts", "_wake"}
    assert {key for each in servers for key in each.__dict__} == made
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
    assert document(process.port(first.name), first.name).server_name == first.name


def test_an_unknown_path_costs_little(process: Process) -> None:
    """A server that refuses a path makes no keyring: nothing is to be diagnosed."""
    server = process.add(A)

    port = process.port(A)
    assert wait_for_thread(lambda: fetch(port, "/unknown", sni=A.name)).status == 404
    assert server.has("refusals")
    assert not server.has("keyring")
