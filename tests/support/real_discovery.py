"""The outbound half of an endpoint whose discovery goes over real sockets.

It is what the daemon has, but for two things: some ports lead to others, because
tests cannot listen on 443 and 8448; and time can run faster, for what waits for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import cast

from cryptography import x509
from msgspec.structs import replace
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.posixbase import PosixReactorBase
from zope.interface import implementer

from homeserver.app.discovery import build_lookups
from homeserver.config.values import (
    Config,
    Discovery,
    Dns,
    ServerConfig,
    VerificationMethod,
)
from homeserver.identity.identity import Identity
from homeserver.net.addresses import AddressPolicy, SocketAddress
from homeserver.net.cause import OURSELVES
from homeserver.net.tls.client import ClientTls
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.client import FederationClient
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Allowance, Budgets
from homeserver.outbound.transport.connector import Connector, VerifiedConnection
from homeserver.outbound.transport.dialer import Dialer, Dialled, Target
from homeserver.outbound.transport.verification import Verifier
from homeserver.protocol.discovery import NotResolvable, Resolution, Step
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.peers import PeerStore
from tests.support.certificates import Issued, authority, issue, issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.name_servers import NameServer
from tests.support.our_names import OUR_NAME
from tests.support.recording_peers import signing_key
from tests.support.waiting import reactor, wait

CA = authority()
"""The one authority that is trusted."""

ANYWHERE = AddressPolicy([], [])

SERVICES = ("_matrix-fed._tcp", "_matrix._tcp")
SERVICES_2014 = ("_matrix._tcp",)


def certify(*names: str) -> Issued:
    """A good certificate for names and addresses."""
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            general.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return issue("x", general, issuer=CA)


class MappingDialer(Dialer):
    """Dials other ports than it is told to, and notes where to."""

    def __init__(
        self,
        look_up: Callable[..., object],
        policy: AddressPolicy,
        context: SSL.Context,
        ports: Mapping[int, int],
    ) -> None:
        super().__init__(reactor, look_up, policy, lambda _: context)  # type: ignore[arg-type]
        self._ports = ports
        self.dialled: list[tuple[Sequence[str], int]] = []

    async def dial(self, target: Target, allowance: Allowance) -> Dialled:
        """As `Dialer`, at another port."""
        self.dialled.append((target.addresses, target.port))
        mapped = replace(target, port=self._ports.get(target.port, target.port))
        return await super().dial(mapped, allowance)


@dataclass
class Reach:
    """What finds and reaches others."""

    lookups: DnsLookups
    resolver: Resolver
    agent: FederationAgent
    client: FederationClient
    dialer: MappingDialer

    def resolve(self, name: str) -> Resolution:
        """The routes to a server."""
        return wait(self.resolver.resolve(ServerName.parse(name), OURSELVES))

    def outcome(self, name: str) -> tuple[list[str], list[str]]:
        """The steps of a resolution, and its routes or why there are none."""
        try:
            resolution = self.resolve(name)
        except NotResolvable as problem:
            return tell(problem.steps), [str(problem)]
        return tell(resolution.steps), [str(route) for route in resolution.routes]

    def ask(self, name: str, target: str = "/") -> VerifiedConnection:
        """Send a request to a server; the connection that it went over."""
        return wait(self.client.ask(ServerName.parse(name), target, OURSELVES))[2]

    def hang_up(self) -> None:
        """End the connections that are kept."""
        wait(self.agent.close())


def tell(steps: Sequence[Step]) -> list[str]:
    """Steps as lines."""
    return [f"{step.step}: {step.asked}: {step.found}" for step in steps]


@contextmanager
def discovering(
    server: NameServer,
    ports: Mapping[int, int] | None = None,
    *,
    well_known: bool = True,
    services: Sequence[str] = SERVICES,
    methods: tuple[VerificationMethod, ...] = ("certificate",),
    policy: AddressPolicy = ANYWHERE,
    clock: PosixReactorBase = reactor,
    before: Sequence[SocketAddress] = (),
) -> Iterator[Reach]:
    """The outbound half of an endpoint that asks `server`.

    `before` are the addresses of name servers that are asked before it; `clock` is
    for the time limits of discovery.
    """
    budgets = Budgets(reactor, lambda _: False)
    issued = issue_for("origin.test")
    name = ServerName.parse("origin.test")
    identity = Identity(name, [signing_key("origin")], [], issued.value)
    config = Config(
        servers=(ServerConfig(server_name=name),),
        dns=Dns(servers=(*before, server.address)),
        discovery=Discovery(well_known=False),
    )
    trust = ClientTls(None, system_roots=False)
    lookups = build_lookups(config, clock)
    context = trust.context()
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography(CA.certificate))
    dialer = MappingDialer(lookups.addresses, policy, context, ports or {})
    documents = WellKnown(dialer, budgets, clock) if well_known else None
    resolver = Resolver(lookups, documents, services, Random(1))
    verifier = Verifier(
        methods, PeerStore(MemoryDatabase(), OUR_NAME, reactor), reactor
    )
    agent = FederationAgent(
        reactor, resolver, Connector(dialer, verifier, budgets, reactor)
    )
    client = FederationClient(agent, lambda: identity, reactor)
    try:
        yield Reach(lookups, resolver, agent, client, dialer)
    finally:
        wait(agent.close())


@implementer(IReactorTime)
class _OtherSpeed:
    """The reactor, but that its time passes at another speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def __getattr__(self, name: str) -> object:
        return getattr(reactor, name)

    def seconds(self) -> float:
        return reactor.seconds() * self._speed

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002 - as in the interface
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        return reactor.callLater(delay / self._speed, callable, *args, **kw)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return reactor.getDelayedCalls()


HURRIED = cast("PosixReactorBase", _OtherSpeed(20))
"""Ten seconds of waiting are over in half of one."""

SLOWED = cast("PosixReactorBase", _OtherSpeed(0.001))
"""No time limit is over before the test gives up."""
"""For what never gets an answer; what gets one may be too slow for it."""
