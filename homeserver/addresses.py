"""IP addresses, ranges of them, and which ones are never connected to.

Rules of the room: pure; an address is judged as it is about to be connected to, never
as a name. An IPv6 address that carries an IPv4 address inside is judged by both.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Self

from msgspec import Struct

Address = IPv4Address | IPv6Address

# What no server of the public network has: IANA's special-purpose registries.
# The IPv6 forms that carry an IPv4 address inside are judged by that address.
REFUSED_BY_DEFAULT = (
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
    "64:ff9b:1::/48",  # NAT64 of one's own network
    "100::/64",  # discard
    "2001:2::/48",  # benchmarking
    "2001:db8::/32",  # documentation
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fc00::/7",  # private
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local
    "ff00::/8",  # multicast
)


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """An address and a port, as in `127.0.0.1:8448` or `[::1]:8448`."""

    host: str
    """An IP address."""

    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`; `ValueError` says what is wrong with it."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address needs brackets: [::1]:8448")
        if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5):
            raise ValueError("expected HOST:PORT, for example 127.0.0.1:8448")
        if int(port) > 65535:
            raise ValueError(f"{port} is not a port; ports go up to 65535")
        address = ip_address(host)
        if isinstance(address, IPv6Address) and not _is_zone(address.scope_id):
            raise ValueError(f"{address.scope_id!r} is not the name of an interface")
        return cls(str(address), int(port))


def _is_zone(scope_id: str | None) -> bool:
    """Whether what follows the `%` of an address, if anything, may stand in a file."""
    return scope_id is None or re.fullmatch(r"[A-Za-z0-9._-]+", scope_id) is not None


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A range of IP addresses, as in `127.0.0.0/8`."""

    network: IPv4Network | IPv6Network

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        return address in self.network

    def __str__(self) -> str:
        return str(self.network)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range; `ValueError` says what is wrong with it."""
        return cls(ip_network(text))


def is_within(text: str, ranges: Sequence[AddressRange]) -> bool:
    """Whether the IP address in `text`, or the IPv4 address that it maps, is in one.

    A listener on `::` sees the IPv4 address of a client as `::ffff:192.0.2.1`.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in each for each in ranges)


REFUSED_RANGES = tuple(map(AddressRange.parse, REFUSED_BY_DEFAULT))

# RFC 6052: what NAT64 translates to the IPv4 address in the last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")
# RFC 4291: the deprecated "IPv4-compatible" form.
_COMPATIBLE = IPv6Network("::/96")


class RefusedAddress(Exception):
    """An address in a refused range; `str()` says which, and how to allow it.

    That is for the operator. A stranger must not learn what a name means in here.
    """


class AddressPolicy(Struct, frozen=True):
    """Which addresses may be connected to: all but `refuse`, and `allow` again."""

    refuse: Sequence[AddressRange]
    allow: Sequence[AddressRange]

    def check(self, text: str) -> None:
        """Raise `RefusedAddress` if the address in `text` is not to be reached."""
        address = ip_address(text)
        for form in _forms(address):
            if any(form in allowed for allowed in self.allow):
                continue
            for refused in self.refuse:
                if form in refused:
                    raise RefusedAddress(
                        f"{text} is in the refused range {refused}; to allow it, "
                        f'set allow = ["{form}"] in [network]'
                    )


def _forms(address: Address) -> Iterator[Address]:
    """The address itself, and the IPv4 address that a translator would make of it."""
    yield address
    if not isinstance(address, IPv6Address):
        return
    for embedded in (address.ipv4_mapped, address.sixtofour):
        if embedded is not None:
            yield embedded
    if address.teredo is not None:
        yield address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
