"""The outbound half of an endpoint, with real sockets and a store in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from homeserver.config.values import VerificationMethod
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressPolicy
from homeserver.net.tls.client import ClientTls
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.client import FederationClient
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.name_servers import DnsClient
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.connector import Connector
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.verification import Verifier
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.peers import PeerStore
from tests.support.certificates import issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.recording_peers import signing_key
from tests.support.waiting import reactor, wait


@dataclass
class Reach:
    """What reaches others."""

    client: FederationClient
    agent: FederationAgent
    peers: PeerStore


@contextmanager
def reaching(
    methods: tuple[VerificationMethod, ...] = ("certificate", "key-document"),
    ca_file: Path | None = None,
    address: str = "127.0.0.1",
    database: MemoryDatabase | None = None,
) -> Iterator[Reach]:
    """An endpoint's outbound half, to which every name is at one address."""
    issued = issue_for("origin.test")
    identity = Identity(
        ServerName.parse("origin.test"), [signing_key("origin")], [], issued.value
    )
    context = ClientTls(ca_file, system_roots=False).context()
    peers = PeerStore(database or MemoryDatabase(), OUR_NAME, reactor)
    lookups = DnsLookups(
        DnsClient(servers=[("127.0.0.1", 9)], reactor=reactor),
        _Everywhere(address),
        reactor,
    )
    resolver = Resolver(lookups, None, ["_matrix._tcp"], Random(1))
    dialer = Dialer(
        reactor, lookups.addresses, AddressPolicy([], []), lambda _: context
    )
    budgets = Budgets(reactor, lambda _: False)
    connector = Connector(dialer, Verifier(methods, peers, reactor), budgets, reactor)
    agent = FederationAgent(reactor, resolver, connector)
    client = FederationClient(agent, lambda: identity, reactor)
    try:
        yield Reach(client, agent, peers)
    finally:
        wait(agent.close())


@implementer(IHostnameResolver)
class _Everywhere:
    """Finds every name at one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        kind = IPv6Address if ":" in self._address else IPv4Address
        resolution = _Done(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(kind("TCP", self._address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IHostResolution)
@dataclass
class _Done:
    name: str

    def cancel(self) -> None:
        pass
