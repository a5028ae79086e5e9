"""The part of the outbound half that connects, over a memory reactor."""

from collections.abc import Sequence
from typing import cast

from nacl.signing import SigningKey as NaclSigningKey
from OpenSSL import SSL, crypto

from homeserver.config.values import VerificationMethod
from homeserver.net.addresses import AddressPolicy, AddressRange
from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.client import ClientTls
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.transport.budget import Budgets, OverBudget
from homeserver.outbound.transport.connector import Connector
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.verification import Verifier
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.discovery import LookupFailed, NotResolvable, Resolution, Route
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import build_v1
from homeserver.protocol.signing import SigningKey
from homeserver.storage.engine.interface import Database
from homeserver.storage.peers import PeerStore
from tests.support.certificates import Issued, authority, issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import Net
from tests.support.our_names import OUR_NAME

CA = authority()

PEER = ServerName.parse("peer.test")

GOOD = issue_for("peer.test", CA)
"""A certificate that proves the peer."""

SELF_SIGNED = issue_for("peer.test")
"""One that proves nothing by itself."""


def key_document(issued: Issued, seed: bytes = b"1" * 32) -> bytes:
    """The key document of a peer that shows a certificate, signed by a seed's key."""
    key = SigningKey(KeyId(f"ed25519:k_{seed.hex()[:4]}"), NaclSigningKey(seed))
    return encode(build_v1(PEER, issued.value.leaf, [key]))


def route(host: str, port: int = 8448) -> Route:
    """A route to the peer."""
    return Route(host, port, "peer.test", "peer.test")


class Names:
    """What the DNS says, in the test's words."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str] | LookupFailed] = {}
        """Addresses by host; a host that is not in it is its own address."""

        self.routes: list[Route] | NotResolvable | OverBudget = [route("192.0.2.1")]
        self.asked: list[str] = []
        self.causes: list[Cause] = []

    async def resolve(self, name: ServerName, cause: Cause) -> Resolution:
        """As `Resolver`."""
        self.causes.append(cause)
        if isinstance(self.routes, Exception):
            raise self.routes
        return Resolution(name, [], self.routes)

    async def addresses(self, host: str, cause: Cause) -> list[str]:
        """As `Resolver`."""
        self.asked.append(host)
        self.causes.append(cause)
        found = self.hosts.get(host, [host])
        if isinstance(found, LookupFailed):
            raise found
        return found


def trusting(issued: Issued) -> SSL.Context:
    """A context in which one authority is trusted."""
    context = ClientTls(None, system_roots=False).context()
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(issued.certificate))
    return context


class Stack:
    """Everything from the agent down to the reactor."""

    def __init__(
        self,
        methods: Sequence[VerificationMethod] = ("certificate", "key-document"),
        refuse: Sequence[str] = (),
        allow: Sequence[str] = (),
        database: Database | None = None,
    ) -> None:
        self.net = Net()
        self.names = Names()
        self.exchanges = Exchanges(self.net.clock, self._observe)
        self.trusted: set[str] = set()
        """The addresses of clients that have no budgets."""

        self.handshakes: list[str] = []
        """How each of them ended."""

        self.verifications: list[tuple[str, str]] = []
        """Each method that was tried, and what came of it."""

        self.peers = PeerStore(database or MemoryDatabase(), OUR_NAME, self.net.clock)
        context = trusting(CA)
        resolver = cast("Resolver", self.names)
        self.dialer = Dialer(
            self.net.reactor,
            self.names.addresses,
            AddressPolicy(
                [AddressRange.parse(each) for each in refuse],
                [AddressRange.parse(each) for each in allow],
            ),
            lambda _: context,
            self.exchanges,
        )
        verifier = Verifier(
            methods,
            self.peers,
            self.net.clock,
            lambda *tried: self.verifications.append(tried),
            self.exchanges,
        )
        self.budgets = Budgets(self.net.clock, self.trusted.__contains__)
        self.connector = Connector(self.dialer, verifier, self.budgets, self.net.clock)
        self.agent = FederationAgent(self.net.clock, resolver, self.connector)

    def _observe(self, exchange: Exchange) -> None:
        if exchange.kind == "connection" and exchange.result is not None:
            self.handshakes.append(exchange.result)
