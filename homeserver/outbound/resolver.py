"""The network side of discovery: DNS look-ups.

Rules of the room: an answer is "no such record" only if a name server says so
(NXDOMAIN, or an empty answer). Silence, SERVFAIL and nonsense are failed look-ups.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.internet import defer
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
    IResolver,
)
from twisted.names import dns
from twisted.names.error import DNSNameError, DomainError
from zope.interface import implementer

from homeserver.protocol import discovery
from homeserver.protocol.discovery import (
    Algorithm,
    LookupFailed,
    Resolution,
    SrvRecord,
)
from homeserver.protocol.errors import quote
from homeserver.protocol.names import ServerName

# Seconds that each try waits for an answer: three tries, six seconds in all.
_TIMEOUTS = (1, 2, 3)

_MAX_ALIASES = 8  # a chain of CNAMEs longer than this is a mistake or an attack

# RFC 1035's, and the underscores that many hosts have all the same. A DNS label may
# hold any byte: what passes here can be shown, and be asked for.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")


class Resolver:
    """Finds the routes to servers, and the addresses of hosts."""

    def __init__(
        self,
        dns_client: IResolver,
        hosts: IHostnameResolver | None,
        services: Sequence[str],
        random: Random,
    ) -> None:
        """`hosts` looks up addresses; where it is None, `dns_client` does that too."""
        self._dns = dns_client
        self._hosts = hosts
        self._algorithm = Algorithm(well_known=False, services=services)
        self._random = random

    async def resolve(self, name: ServerName) -> Resolution:
        """The routes to `name`; raises `discovery.NotResolvable`."""
        return await discovery.resolve(
            name, self, self._algorithm, lambda most: self._random.randint(0, most)
        )

    async def well_known(self, host: str) -> ServerName:
        """As `discovery.Lookups.well_known`."""
        raise LookupFailed(f"the well-known of {host} is not asked for")

    async def srv(self, name: str) -> list[SrvRecord]:
        """As `discovery.Lookups.srv`."""
        records = await self._lookup(self._dns.lookupService, name, dns.SRV)
        return [
            SrvRecord(
                record.priority, record.weight, record.port, _target(record.target)
            )
            for record in records
        ]

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of `host`, which may be one already; at least one.

        Raises `LookupFailed`.
        """
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass  # a name
        if self._hosts is not None:
            found = await _ask_system(self._hosts, host)
        else:
            found = await self._ask_dns(host)
        if not found:
            raise LookupFailed(f"{host} has no address (A or AAAA record)")
        return found

    async def _ask_dns(self, host: str) -> list[str]:
        found: list[str] = []
        failures: list[LookupFailed] = []

        async def look(ask: Callable[..., Deferred[Any]], kind: int) -> None:
            try:
                records = await self._lookup(ask, host, kind)
            except LookupFailed as failure:
                failures.append(failure)
            else:
                found.extend(_address(record) for record in records)

        looks = [
            Deferred.fromCoroutine(look(self._dns.lookupIPV6Address, dns.AAAA)),
            Deferred.fromCoroutine(look(self._dns.lookupAddress, dns.A)),
        ]
        for each in looks:  # both are under way
            await each
        if failures and not found:
            raise failures[0]
        return found

    async def _lookup(
        self, ask: Callable[..., Deferred[Any]], name: str, kind: int
    ) -> list[Any]:
        """The payloads of the records of one kind at `name`, aliases followed."""
        answers: Sequence[Any]
        try:
            answers, _, _ = await ask(name, timeout=_TIMEOUTS)
        except DNSNameError:
            return []
        except (
            DomainError,
            defer.TimeoutError,
            CannotListenError,  # no descriptor is left for the question
            ConnectError,  # by TCP, where an answer is too long for UDP
            OSError,
            ValueError,
            EOFError,
        ) as error:
            raise LookupFailed(_describe(error)) from None
        owner = name.lower()
        for _ in range(_MAX_ALIASES + 1):
            here = [a for a in answers if _text(a.name).lower() == owner]
            records = [a.payload for a in here if a.type == kind]
            aliases = [a.payload for a in here if a.type == dns.CNAME]
            if records or not aliases:
                return records
            owner = _text(aliases[0].name).lower()
        raise LookupFailed(f"more than {_MAX_ALIASES} aliases lead away from {name}")


def _describe(error: Exception) -> str:
    if isinstance(error, defer.TimeoutError):
        return "the name server did not answer in time"
    if isinstance(error, DomainError):
        # twisted.names calls its errors DNSServerError and so on; the rest is the
        # whole message in a form that nobody can read.
        return f"the name server refused: {type(error).__name__}"
    return f"the name server cannot be asked: {error}"


def _text(name: dns.Name) -> str:
    return name.name.decode("ascii", "backslashreplace")


def _target(name: dns.Name) -> str:
    text = _text(name)
    if text and not _HOST_NAME.fullmatch(text):
        raise LookupFailed(f"a target is not a host name: {quote(name.name)}")
    return text or "."


def _address(record: dns.Record_A | dns.Record_AAAA) -> str:
    if isinstance(record, dns.Record_A):
        return str(record.dottedQuad())
    return str(ip_address(record.address))


async def _ask_system(hosts: IHostnameResolver, host: str) -> list[str]:
    receiver = _Receiver()
    hosts.resolveHostName(receiver, host)
    return await receiver.complete


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects the addresses that the system's resolver finds."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self.complete: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, (IPv4Address, IPv6Address)):
            self._found.append(address.host)

    def resolutionComplete(self) -> None:
        self.complete.callback(self._found)
