"""DNS records as the control API has them, and as they go over the wire.

Rules: a record that was parsed can be encoded. A name is at most 253 characters of
labels of at most 63; it may have underscores, as those of services have.

Specification: RFC 1035, section 3.1 and 3.2; RFC 2782 for SRV.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from msgspec import Struct
from twisted.names import dns

from homeserver.protocol.errors import InvalidParam, quote

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")

MAX_TTL = 2**31 - 1  # RFC 2181, section 8

_U16 = 2**16


class Record(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A record of a name."""

    name: str
    type: str
    """`A`, `AAAA`, `SRV` or `CNAME`."""

    value: str
    """An address, a name, or `PRIORITY WEIGHT PORT TARGET`."""

    ttl: int = 0
    """Seconds; 0 lets a change be seen at once."""

    @property
    def payload(self) -> dns.IEncodableRecord:
        """What goes over the wire; raises `InvalidParam` for a bad record."""
        try:
            build = _PAYLOADS[self.type]
        except KeyError:
            raise InvalidParam(
                f"`type` of a DNS record is one of {', '.join(_PAYLOADS)}, not "
                f"{quote(self.type)}"
            ) from None
        if not 0 <= self.ttl <= MAX_TTL:
            raise InvalidParam(
                f"`ttl` of a DNS record is 0 to {MAX_TTL} seconds, not {self.ttl}"
            )
        parse_name(self.name)
        return build(self.value, self.ttl)

    @property
    def code(self) -> int:
        """The number of the type."""
        return dns.REV_TYPES[self.type]

    def check(self) -> None:
        """Raise `InvalidParam` if it cannot be served."""
        self.payload  # noqa: B018 - it is parsed

    def header(self, owner: bytes) -> dns.RRHeader:
        """The record in an answer; `owner` is its name as the question writes it."""
        return dns.RRHeader(
            owner, self.code, ttl=self.ttl, payload=self.payload, auth=True
        )


def parse_name(text: str, *, member: str = "name") -> str:
    """A DNS name in lower case, without the last dot; raises `InvalidParam`."""
    name = text.removesuffix(".")
    if not _NAME.fullmatch(name):
        raise InvalidParam(
            f"`{member}` is not a DNS name of labels of 1 to 63 letters, digits, "
            f"hyphens and underscores: {quote(text)}"
        )
    return name.lower()


def _address(value: str, ttl: int) -> dns.IEncodableRecord:
    try:
        return dns.Record_A(str(IPv4Address(value)), ttl)
    except AddressValueError:
        raise InvalidParam(
            f"`value` of an A record is an IPv4 address, not {quote(value)}"
        ) from None


def _address_6(value: str, ttl: int) -> dns.IEncodableRecord:
    try:
        return dns.Record_AAAA(str(IPv6Address(value)), ttl)
    except AddressValueError:
        raise InvalidParam(
            f"`value` of an AAAA record is an IPv6 address, not {quote(value)}"
        ) from None


def _alias(value: str, ttl: int) -> dns.IEncodableRecord:
    return dns.Record_CNAME(parse_name(value, member="value"), ttl)


def _service(value: str, ttl: int) -> dns.IEncodableRecord:
    parts = value.split()
    numbers = [int(part) for part in parts[:3] if part.isdigit() and len(part) <= 5]
    if len(parts) != 4 or len(numbers) != 3 or max(numbers) >= _U16:
        raise InvalidParam(
            "`value` of an SRV record is `PRIORITY WEIGHT PORT TARGET`, with numbers "
            f"of 0 to {_U16 - 1}, not {quote(value)}"
        )
    priority, weight, port = numbers
    # RFC 2782: the target `.` says that there is no such service.
    target = "" if parts[3] == "." else parse_name(parts[3], member="value")
    return dns.Record_SRV(priority, weight, port, target, ttl)


_PAYLOADS = {"A": _address, "AAAA": _address_6, "SRV": _service, "CNAME": _alias}
