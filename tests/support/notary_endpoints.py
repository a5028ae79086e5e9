"""Whole endpoints in this process, asked as notaries, and origins that they ask.

Sockets, TLS, DNS and database are real; what the test sets forward is the time.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.posixbase import PosixReactorBase
from zope.interface import implementer

from homeserver.app.endpoint import Endpoint
from homeserver.config.values import (
    Config,
    Control,
    Discovery,
    Dns,
    Network,
    ServerConfig,
    Storage,
    StoreUrl,
    Verification,
)
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey, build_v2
from homeserver.protocol.signing import SigningKey
from tests.support.certificates import authority, issue_for
from tests.support.key_documents import signing_key
from tests.support.name_servers import NameServer, serving
from tests.support.recording_peers import http as respond
from tests.support.tls_servers import TlsServer, listening
from tests.support.trusting_client import fetch
from tests.support.waiting import reactor, wait, wait_for_thread

CA = authority()
"""The one authority that notaries trust."""

HOUR = 3600 * 1000
LOOPBACK = ("127.0.0.0/8", "::1/128")


@implementer(IReactorTime)
class _Later:
    """The reactor, at a later time than it is."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(reactor, name)

    def seconds(self) -> float:
        return reactor.seconds() + self.ahead

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002 - as in the interface
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        return reactor.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return reactor.getDelayedCalls()


@dataclass
class Notary:
    """An endpoint that runs."""

    name: ServerName
    key: SigningKey
    port: int
    clock: _Later

    @property
    def now_ts(self) -> int:
        """What it takes for the time, in milliseconds since 1970."""
        return int(self.clock.seconds() * 1000)

    def pass_time(self, milliseconds: float) -> None:
        """Let it be later."""
        self.clock.ahead += milliseconds / 1000

    def ask(
        self, method: str, target: str, body: bytes | None = None
    ) -> tuple[int, Json]:
        """The status and the JSON of an answer below `/_matrix/key/v2/query`."""
        path = f"/_matrix/key/v2/query{target}"
        got = wait_for_thread(lambda: fetch(self.port, path, method=method, body=body))
        return got.status, json.loads(got.body)

    def documents(
        self, name: ServerName, key_id: str = "", minimum: int | None = None
    ) -> list[Json]:
        """The documents of a server that it hands out."""
        target = f"/{name}/{key_id}"
        if minimum is not None:
            target += f"?minimum_valid_until_ts={minimum}"
        return _documents(self.ask("GET", target))

    def documents_of(self, *names: ServerName) -> list[Json]:
        """The documents of several servers that it hands out."""
        wanted: Json = {each.name: {} for each in names}
        return _documents(self.ask("POST", "", encode({"server_keys": wanted})))


def _documents(answer: tuple[int, Json]) -> list[Json]:
    status, body = answer
    assert status == 200
    assert body.keys() == {"server_keys"}
    documents: Any = body["server_keys"]
    return list(documents)


@contextmanager
def notary(folder: Path, name: str = "notary.test") -> Iterator[Notary]:
    """An endpoint to which every name of `.test` is on loopback."""
    server_name = ServerName.parse(name)
    key = signing_key(KeyId("ed25519:n"), name.encode())
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(CA.pem)
    clock = _Later()
    zone = [f"{host}.test A 127.0.0.1" for host in ("origin", "other", "gone")]
    with serving(NameServer(*zone)) as server:
        config = Config(
            servers=(
                ServerConfig(
                    server_name=server_name, listen=SocketAddress("127.0.0.1", 0)
                ),
            ),
            shutdown_seconds=1,
            verification=Verification(
                methods=("certificate",), ca_file=ca_file, system_roots=False
            ),
            discovery=Discovery(well_known=False),
            dns=Dns(servers=(server.address,)),
            network=Network(allow=tuple(map(AddressRange.parse, LOOPBACK))),
            storage=Storage(StoreUrl(f"sqlite:{name}.db")),
            control=Control(listen=None),
        )
        endpoint = Endpoint(
            folder / "unread.toml",
            config,
            {server_name: Identity(server_name, [key], [], issue_for(name).value)},
            cast("PosixReactorBase", clock),
            Random(1),
        )
        where = wait(endpoint.start())[server_name]
        try:
            yield Notary(server_name, key, where.port, clock)
        finally:
            wait(endpoint.stop())


@dataclass
class Origin:
    """A server whose key document the test writes."""

    host: str = "origin.test"
    server: TlsServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = TlsServer(issue_for(self.host, CA))

    @property
    def name(self) -> ServerName:
        """What it is called, once it listens."""
        return ServerName.parse(f"{self.host}:{self.server.port}")

    @property
    def fetches(self) -> int:
        """How often its document was asked for."""
        return sum("/v2/server" in each for each in self.server.requests)

    def document(
        self,
        keys: Sequence[SigningKey],
        until: int,
        old: Sequence[OldVerifyKey] = (),
        name: ServerName | None = None,
    ) -> Json:
        """A good document of its own, or of another name."""
        return build_v2(name or self.name, keys, old, until)

    def publish(self, document: Json | bytes) -> None:
        """Answer with a document from now on."""
        body = document if isinstance(document, bytes) else encode(document)
        self.server.otherwise = respond(body)

    @contextmanager
    def running(self) -> Iterator["Origin"]:
        """Let it listen."""
        with listening(self.server):
            yield self
