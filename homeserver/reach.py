"""How other servers are reached, as it is configured: trust, addresses, name look-ups.

Rules of the room: as those of `service`, of whose bill of materials this is a part. It
stands apart because the question "what does this name resolve to?" needs no more.
"""

from pathlib import Path
from random import Random

from OpenSSL import SSL
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.posixbase import PosixReactorBase

from homeserver.addresses import AddressPolicy
from homeserver.config import Config, ConfigError
from homeserver.identity import Certificate
from homeserver.outbound import tls
from homeserver.outbound.dialer import Dialer
from homeserver.outbound.dns import DnsClient, DnsLookups
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.well_known import WellKnown


def build_discovery(
    path: Path, config: Config, reactor: PosixReactorBase, random: Random
) -> tuple[DnsLookups, Resolver]:
    """Discovery as it is configured at `path`; raises `ConfigError`."""
    servers = [(server.host, server.port) for server in config.dns.servers]
    hosts: IHostnameResolver | None = None if servers else reactor.nameResolver
    client = DnsClient(
        resolv=None if servers else "/etc/resolv.conf",
        servers=servers or None,
        reactor=reactor,
    )
    lookups = DnsLookups(client, hosts, reactor)
    well_known: WellKnown | None = None
    if config.discovery.well_known:
        # Websites are not shown our client certificate.
        context = build_context(path, config, None)
        dialer = Dialer(
            reactor, lookups.addresses, build_address_policy(config), lambda: context
        )
        well_known = WellKnown(dialer, reactor)
    services = config.discovery.srv_services
    return lookups, Resolver(lookups, well_known, services, random)


def build_address_policy(config: Config) -> AddressPolicy:
    """Which addresses may be connected to."""
    return AddressPolicy(config.network.refuse, config.network.allow)


def build_context(
    path: Path, config: Config, certificate: Certificate | None
) -> SSL.Context:
    """A context for outbound connections; raises `ConfigError`.

    Who asks for a client certificate is shown `certificate`, if the configuration
    does not forbid it.
    """
    verification = config.verification
    roots = tls.TrustRoots(verification.ca_file, verification.system_roots)
    try:
        context = tls.build_context(roots)
    except ValueError as problem:
        raise ConfigError(path, [f"verification.ca_file: {problem}"]) from None
    if certificate is not None and config.tls.present_client_certificate:
        certificate.present_in(context)
    return context
