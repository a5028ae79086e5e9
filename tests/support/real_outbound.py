"""The outbound half of an endpoint, with real sockets and a store in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from homeserver.config.values import VerificationMethod
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressPolicy
from homeserver.net.cause import Cause
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

    async def find(host: str, cause: Cause) -> list[str]:
        return [host if ":" in host else address]

    # Names have ports, so that no name server is asked.
    name_server = DnsClient(lambda: [("127.0.0.1", 9)], reactor)
    lookups = DnsLookups(name_server, None, reactor)
    resolver = Resolver(lookups, None, [], Random(1))
    dialer = Dialer(reactor, find, AddressPolicy([], []), lambda _: context)
    budgets = Budgets(reactor, lambda _: False)
    connector = Connector(dialer, Verifier(methods, peers, reactor), budgets, reactor)
    agent = FederationAgent(reactor, resolver, connector)
    client = FederationClient(agent, lambda: identity, reactor)
    try:
        yield Reach(client, agent, peers)
    finally:
        wait(agent.close())
