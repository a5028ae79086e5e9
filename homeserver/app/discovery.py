"""Discovery as configured: trusted authorities, address policy, name look-ups.

Rules: as those of `app.shared`, of whose bill of materials this is a part. It is a
module of its own because `homeserver resolve` needs no more.
"""

from pathlib import Path
from random import Random

from twisted.internet.interfaces import IHostnameResolver, IResolver
from twisted.internet.posixbase import PosixReactorBase

from homeserver.config.values import Config, ConfigError
from homeserver.net.addresses import AddressPolicy
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.client import ClientTls
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.name_servers import DnsClient
from homeserver.outbound.discovery.resolv_conf import RESOLV_CONF, ResolvConf
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.dialer import Dialer


def build_lookups(
    config: Config,
    reactor: PosixReactorBase,
    exchanges: Exchanges | None = None,
    name_servers: IResolver | None = None,
) -> DnsLookups:
    """Look-ups of names as they are configured.

    `exchanges` has each question. `name_servers` answers all of them, in place of what
    is configured and of the system.
    """
    servers = [(server.host, server.port) for server in config.dns.servers]
    hosts: IHostnameResolver | None = reactor.nameResolver
    if servers or name_servers is not None:
        hosts = None
    system = ResolvConf(RESOLV_CONF, reactor)
    client = name_servers or DnsClient(lambda: servers or system.servers(), reactor)
    return DnsLookups(client, hosts, reactor, config.limits.trusts, exchanges)


def build_discovery(
    config: Config,
    trust: ClientTls,
    lookups: DnsLookups,
    reactor: PosixReactorBase,
    random: Random,
    budgets: Budgets,
) -> Resolver:
    """Discovery as configured; the certificates of websites are verified by `trust`."""
    well_known: WellKnown | None = None
    if config.discovery.well_known:
        # Websites are not shown a client certificate.
        dialer = Dialer(
            reactor,
            lookups.addresses,
            build_address_policy(config),
            trust.context,
            lookups.exchanges,
        )
        well_known = WellKnown(dialer, budgets, reactor, config.limits.trusts)
    services = config.discovery.srv_services
    return Resolver(lookups, well_known, services, random)


def build_address_policy(config: Config) -> AddressPolicy:
    """The addresses that may be connected to."""
    return AddressPolicy(config.network.refuse, config.network.allow)


def build_trust(path: Path, config: Config) -> ClientTls:
    """The authorities that are trusted for other servers; raises `ConfigError`."""
    verification = config.verification
    try:
        return ClientTls(verification.ca_file, system_roots=verification.system_roots)
    except ValueError as problem:
        raise ConfigError(path, [f"verification.ca_file: {problem}"]) from None
