"""The records in the answer of a name server.

Rules: aliases are followed within one answer only. Records are bounded in number, and
in how long they are kept.

Specification: RFC 1034 for aliases, RFC 2308 for how long "no such record" holds.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from twisted.names import dns

from homeserver.protocol.discovery import LookupFailed, SrvRecord

_MAX_ALIASES = 8  # a chain of CNAMEs longer than this is a mistake or an attack

_MAX_RECORDS = 100  # of one answer; over TCP it may have thousands

_MAX_SECONDS = 86400.0  # that an answer is kept, whatever its time to live

# That "no such record" is kept: a record that is new must be found soon.
_MAX_NEGATIVE_SECONDS = 300.0


def read_records(
    name: str, kind: int, answers: Sequence[Any], authority: Sequence[Any]
) -> tuple[Sequence[Any], float]:
    """The records of one type in an answer, with aliases followed.

    They are `SrvRecord`, or the text of an address or a name. The second value is for
    how many seconds they hold. Raises `LookupFailed` for a long chain of aliases.
    """
    owner = name.lower()
    seconds = _MAX_SECONDS
    for _ in range(_MAX_ALIASES + 1):
        here = [a for a in answers if _text(a.name).lower() == owner]
        found = [a for a in here if a.type == kind]
        aliases = [a for a in here if a.type == dns.CNAME]
        seconds = min([seconds, *(float(a.ttl) for a in found or aliases)])
        if found:
            records = [a.payload for a in found]
            if kind == dns.SRV:  # the first ones are tried first
                records.sort(key=lambda record: record.priority)
            return [_content(kind, each) for each in records[:_MAX_RECORDS]], seconds
        if not aliases:
            return [], min(seconds, negative_seconds(authority))
        owner = _text(aliases[0].payload.name).lower()
    why = f"more than {_MAX_ALIASES} aliases lead away from {name}"
    raise LookupFailed(why, "too_many_aliases")


def _content(kind: int, payload: Any) -> SrvRecord | str:
    """What a record says, in half of the memory of Twisted's own."""
    if kind == dns.SRV:
        target = _text(payload.target) or "."
        return SrvRecord(payload.priority, payload.weight, payload.port, target)
    if kind == dns.CNAME:
        return _text(payload.name)
    return _address(payload)


def negative_seconds(authority: Sequence[Any]) -> float:
    """For how many seconds to keep "no such record" (RFC 2308, section 5)."""
    return min(
        (
            min(float(each.ttl), float(each.payload.minimum), _MAX_NEGATIVE_SECONDS)
            for each in authority
            if each.type == dns.SOA
        ),
        default=0.0,
    )


def _text(name: dns.Name) -> str:
    """A name as text; a DNS label may hold any byte."""
    return name.name.decode("ascii", "backslashreplace")


def _address(record: dns.Record_A | dns.Record_AAAA) -> str:
    """The IP address in a record."""
    if isinstance(record, dns.Record_A):
        return str(record.dottedQuad())
    return str(ip_address(record.address))
