"""IP addresses, ranges of addresses, and the ranges that are never connected to.

Rules: pure. The address that will be connected to is checked, never a name. An IPv6
address with an IPv4 address inside is checked as both.
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
from typing import ClassVar, Literal, Self

from msgspec import Struct

from homeserver.net.registries import REFUSED_BY_DEFAULT
from homeserver.protocol.errors import quote

Address = IPv4Address | IPv6Address

# What is meant by a host that is no address, as other programs take it.
_MEANT = {"localhost": "127.0.0.1", "": "0.0.0.0", "*": "0.0.0.0"}  # noqa: S104


def is_ip(text: str) -> bool:
    """Whether a text is an IP address; one of IPv6 may have a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


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
    def parse(cls, text: str, usual_port: int = 8448) -> Self:
        """Read `HOST:PORT`; `ValueError` says what is wrong with it.

        Where the port is missing, `usual_port` is the one that is proposed.
        """
        if _has_no_port(text):
            meant = f"{text}:{usual_port}"
            raise ValueError(f"{quote(text)} has no port; did you mean {meant!r}?")
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address needs brackets: [::1]:8448")
        if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5):
            raise ValueError(f"expected HOST:PORT, for example 127.0.0.1:{usual_port}")
        if int(port) > 65535:
            raise ValueError(f"{port} is not a port; ports go up to 65535")
        if not is_ip(host):
            found = _MEANT.get(host)
            meant = "" if found is None else f"; did you mean '{found}:{port}'?"
            raise ValueError(f"{quote(host)} is not an IP address{meant}")
        address = ip_address(host)
        if isinstance(address, IPv6Address) and not _is_zone(address.scope_id):
            raise ValueError(f"{address.scope_id!r} is not the name of an interface")
        return cls(str(address), int(port))


def _has_no_port(text: str) -> bool:
    """Whether a text is an address alone, as it would stand before a port."""
    in_brackets = re.fullmatch(r"\[([^\[\]]+)\]", text)
    if in_brackets is not None:
        return is_ip(in_brackets[1])
    return ":" not in text and is_ip(text)


def _is_zone(scope_id: str | None) -> bool:
    """Whether a zone, the text after the `%` of an address, is safe to write."""
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
        try:
            return cls(ip_network(text))
        except ValueError:
            pass
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{quote(text)} is neither an IP address nor a range of them, as in "
                "10.0.0.0/8"
            ) from None
        raise ValueError(
            f"{quote(text)} is an address in a range; did you mean '{meant}', the "
            f"range, or '{text.partition('/')[0]}', the address?"
        )


def is_within(text: str, ranges: Sequence[AddressRange]) -> bool:
    """Whether the IP address in `text`, or the IPv4 address it maps, is in a range.

    A listener on `::` sees the IPv4 address of a client as `::ffff:192.0.2.1`.
    """
    if not ranges:
        return False  # as nearly always; reading the address is what takes time
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in each for each in ranges)


REFUSED_RANGES = tuple(AddressRange(each) for each in REFUSED_BY_DEFAULT)

# RFC 6052: what NAT64 translates to the IPv4 address in the last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")

# The same bits in obsolete forms: IPv4-compatible (RFC 4291) and IPv4-translated
# (RFC 2765).
_OLD_FORMS = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))

# ISATAP (RFC 5214): bits 32 to 63 from the end, in any network. The mask leaves out
# the bit that marks the IPv4 address as globally unique.
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFDFFFFFF


class RefusedAddress(Exception):
    """An address in a refused range; `str()` names the range and how to allow it.

    The text is for the operator: a peer must not learn how a name resolves here.
    """

    reason: ClassVar[Literal["refused_address"]] = "refused_address"


class AddressPolicy(Struct, frozen=True):
    """Which addresses may be connected to: `allow`, and all outside of `refuse`."""

    refuse: Sequence[AddressRange]
    allow: Sequence[AddressRange]

    def check(self, text: str) -> None:
        """Raise `RefusedAddress` if the address in `text` may not be connected to."""
        refused = [
            (form, refused)
            for form in _forms(ip_address(text))
            if (refused := self._refusal(form)) is not None
        ]
        if refused:
            forms = ", ".join(f'"{form}"' for form, _ in refused)
            raise RefusedAddress(
                f"{text} is in the refused range {refused[-1][1]}; to allow it, "
                f"set allow = [{forms}] in [network]"
            )

    def allowed(self, texts: Sequence[str]) -> list[str]:
        """The addresses in `texts` that may be connected to, each once.

        Raises `RefusedAddress` if there are some, and every one is refused.
        """
        allowed: list[str] = []
        refusal: RefusedAddress | None = None
        for each in texts:
            try:
                self.check(each)
            except RefusedAddress as problem:
                refusal = problem
            else:
                allowed.append(str(ip_address(each)))
        if refusal is not None and not allowed:
            raise refusal
        return list(dict.fromkeys(allowed))

    def _refusal(self, form: Address) -> AddressRange | None:
        """The range that refuses one form of an address; None if no range does."""
        if any(form in allowed for allowed in self.allow):
            return None
        return next((refused for refused in self.refuse if form in refused), None)


def _forms(address: Address) -> Iterator[Address]:
    """The addresses to check for one: itself, and any IPv4 address inside it."""
    if not isinstance(address, IPv6Address):
        yield address
        return
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in _NAT64:
        yield last  # the system, or the translator, connects to this one instead
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield address.teredo[1]
    interface = int(address) >> 32 & _ISATAP_MASK
    if interface == _ISATAP or _is_old_form(address):
        yield last


def _is_old_form(address: IPv6Address) -> bool:
    """Whether the last 32 bits are an IPv4 address; in `::` and `::1` they are not."""
    return int(address) > 1 and any(address in each for each in _OLD_FORMS)
