"""Names and addresses that probably belong to one party: a domain, a network.

Rules: an estimate. One party can have many names in a domain and many addresses in a
network, so these are counted together; nothing is authenticated by them.
"""

from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from homeserver.protocol.identifiers import ServerName

# The smallest common allocation to one customer: 256 addresses of IPv4, a link of IPv6.
_PREFIXES = {4: 24, 6: 64}

_SITE_PREFIX = 48  # of IPv6


def network_of(address: str) -> str:
    """The network of an IP address: its /24, of IPv6 its /64."""
    ip = _parse(address)
    return str(ip_network((ip, _PREFIXES[ip.version]), strict=False))


@lru_cache(maxsize=1024)
def subscriber_of(address: str) -> str:
    """The subscriber at an IP address: one IPv4 address, or the /64 of an IPv6 one."""
    return _address_or_network(address, _PREFIXES[6])


@lru_cache(maxsize=1024)
def site_of(address: str) -> str:
    """The site at an IP address: one IPv4 address, or the /48 of an IPv6 one.

    A /48 has 65,536 networks of subscribers (RFC 6177).
    """
    return _address_or_network(address, _SITE_PREFIX)


def domain_of(name: ServerName) -> str:
    """The last two labels of a server's host; of an IP literal, its network."""
    return domain_of_host(name.host) if name.is_ip else _last_labels(name.host)


def domain_of_host(host: str) -> str:
    """The last two labels of a host's name; of an IP literal, its network."""
    # Parsing a host name as an IP address would be the slowest step. A literal ends
    # with a digit or contains a colon, which few names do.
    if host[-1:].isdigit() or ":" in host:
        with suppress(ValueError):
            return network_of(host.strip("[]"))
    return _last_labels(host)


def _parse(address: str) -> IPv4Address | IPv6Address:
    """An IP address; the IPv4 address that an IPv6 one stands for."""
    ip = ip_address(address)
    return getattr(ip, "ipv4_mapped", None) or ip


def _address_or_network(address: str, prefix: int) -> str:
    """An IPv4 address, or the network of an IPv6 one."""
    ip = _parse(address)
    return str(ip) if ip.version == 4 else str(ip_network((ip, prefix), strict=False))


def _last_labels(host: str) -> str:
    return ".".join(host.lower().split(".")[-2:])
