"""IANA's registries of IP addresses: ranges that no public server has.

Rules: tables of one date, and what follows from them. Refused is what is not globally
reachable unicast: the ranges of the special-purpose registries, and the ranges of IPv6
that are not allocated to a regional registry.

Anycast services that are globally reachable from inside 192.0.0.0/24 and 2001::/23 are
refused with the rest of these: no Matrix server is reached there.

Specification: IANA, "IPv4 Special-Purpose Address Space" and "IPv6 Special-Purpose
Address Space" of 9 October 2025, "IPv6 Global Unicast Address Assignments" of 10
October 2025; RFC 6890.
"""

from collections.abc import Sequence
from ipaddress import IPv6Network, collapse_addresses, ip_network

SPECIAL = (
    "0.0.0.0/8",  # "this network"
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "::/128",  # unspecified
    "::1/128",  # loopback
    "::ffff:0:0:0/96",  # IPv4-translated (SIIT)
    "::/96",  # IPv4-compatible
    "64:ff9b:1::/48",  # NAT64 of one's own network
    "100::/64",  # discard
    "100:0:0:1::/64",  # dummy
    "2001::/32",  # Teredo
    "2001:2::/48",  # benchmarking
    "2001:10::/28",  # ORCHID
    "2001::/23",  # protocol assignments
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fc00::/7",  # private
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local
    "ff00::/8",  # multicast
)

# The allocations of IANA to the regional registries; the latest is 2410::/12, to APNIC.
_ALLOCATED = (
    *("2001:200::/23", "2001:400::/23", "2001:600::/23", "2001:800::/22"),
    *("2001:c00::/23", "2001:e00::/23", "2001:1200::/23", "2001:1400::/22"),
    *("2001:1800::/23", "2001:1a00::/23", "2001:1c00::/22", "2001:2000::/19"),
    *("2001:4000::/23", "2001:4200::/23", "2001:4400::/23", "2001:4600::/23"),
    *("2001:4800::/23", "2001:4a00::/23", "2001:4c00::/23", "2001:5000::/20"),
    *("2001:8000::/19", "2001:a000::/20", "2001:b000::/20", "2003::/18"),
    *("2400::/12", "2410::/12", "2600::/12", "2610::/23", "2620::/23", "2630::/12"),
    *("2800::/12", "2a00::/12", "2a10::/12", "2c00::/12"),
)


def _gaps(networks: Sequence[str]) -> list[str]:
    """The networks of IPv6 that are outside all of `networks`, which do not overlap."""
    left = [IPv6Network("::/0")]
    for network in map(IPv6Network, networks):
        [outer] = [each for each in left if network.subnet_of(each)]
        left.remove(outer)
        left += outer.address_exclude(network)
    return [str(each) for each in collapse_addresses(left)]


REFUSED_BY_DEFAULT = tuple(ip_network(each) for each in (*SPECIAL, *_gaps(_ALLOCATED)))
"""Ranges with a purpose first, because an error message names the first match."""
