"""Who probably belongs together: names of one domain, addresses of one network.

Rules: a guess, because whoever has one of them can have many. It only orders who goes
first where there is not enough for all.
"""

from ipaddress import ip_address, ip_network

from homeserver.protocol.identifiers import ServerName

# What one customer of a network gets at the least: 256 addresses, and of IPv6 a link.
_PREFIXES = {4: 24, 6: 64}


def network_of(address: str) -> str:
    """The network of an IP address: its /24, of IPv6 its /64."""
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip_network((ip, _PREFIXES[ip.version]), strict=False))


def subscriber_of(address: str) -> str:
    """Who probably has an IP address alone: of IPv6, whoever has its /64."""
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.version == 4 else network_of(address)


def domain_of(name: ServerName) -> str:
    """The last two labels of a server's host; of an IP literal, its network."""
    # To find out what is no IP literal takes longer than anything else here.
    return domain_of_host(name.host) if name.is_ip else _last_labels(name.host)


def domain_of_host(host: str) -> str:
    """The last two labels of a host's name; of an IP literal, its network."""
    try:
        return network_of(host.strip("[]"))
    except ValueError:
        return _last_labels(host)


def _last_labels(host: str) -> str:
    return ".".join(host.lower().split(".")[-2:])
