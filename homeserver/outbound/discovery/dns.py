"""DNS records, and the addresses of hosts.

Rules: "no such record" is only what a name server answers (NXDOMAIN, or an empty
answer). A time-out, SERVFAIL and a malformed answer are failed look-ups. An answer is
kept for its time to live and no longer; a failure is not kept.

Specification: RFC 1034 for aliases, RFC 2308 for how long "no such record" holds.
"""

from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet import defer
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectError, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
    IResolver,
)
from twisted.names import dns
from twisted.names.error import (
    DNSNameError,
    DomainError,
)
from zope.interface import implementer

from homeserver.net.cache import Cache
from homeserver.net.cause import Cause
from homeserver.net.networks import domain_of_host
from homeserver.net.shares import GaveWay, Shares
from homeserver.net.time_limit import within
from homeserver.outbound.discovery.name_servers import describe
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import LookupFailed, SrvRecord

# The seconds of each round: three rounds, six seconds in all.
_TIMEOUTS = (1, 2, 3)

# For all rounds, all servers, and TCP where an answer is too long for UDP.
_QUESTION_SECONDS = 10.0

MAX_QUESTIONS = 100  # at once: each takes a socket, of a process that may have 1024
_MAX_WAITING = 1000  # for one of those

_MAX_ALIASES = 8  # a chain of CNAMEs longer than this is a mistake or an attack

_MAX_RECORDS = 100  # of one answer; over TCP it may have thousands

_MAX_SECONDS = 86400.0  # that an answer is kept, whatever its time to live

# That "no such record" is kept: a record that is new must be found soon.
_MAX_NEGATIVE_SECONDS = 300.0


class DnsLookups:
    """Look-ups in the DNS, with a cache."""

    def __init__(
        self,
        dns_client: IResolver,
        hosts: IHostnameResolver | None,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`hosts` looks up addresses; if it is None, `dns_client` does that too.

        `trusts` is as in `Shares`.
        """
        self._client = dns_client
        self._hosts = hosts
        self._clock = clock
        self.shares = Shares(
            ("dns_questions", "questions to name servers"),
            MAX_QUESTIONS,
            _MAX_WAITING,
            clock,
            trusts,
        )
        self.answers: Cache[tuple[str, int], Sequence[Any]] = Cache(clock)

    async def srv(self, name: str, cause: Cause) -> list[SrvRecord]:
        """As `discovery.Lookups.srv`; also raises `OverBudget`."""
        return srv_records(
            await self._look_up(self._client.lookupService, name, dns.SRV, cause)
        )

    async def alias(self, host: str, cause: Cause) -> str | None:
        """The name that `host` is an alias of; None if it is no alias.

        Raises `LookupFailed`.
        """
        ask = self._client.lookupCanonicalName
        records = await self._look_up(ask, host, dns.CNAME, cause)
        return _text(records[0].name) if records else None

    async def addresses(self, host: str, cause: Cause) -> list[str]:
        """The IP addresses of `host`, a name or an IP address; at least one.

        Raises `LookupFailed`.
        """
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass  # a name
        if self._hosts is not None:
            found = await self._ask_system(self._hosts, host, cause)
        else:
            found = await self._ask_dns(host, cause)
        if not found:
            why = f"{host} has no address (A or AAAA record)"
            raise LookupFailed(why, "no_address")
        return found

    async def _ask_system(
        self, hosts: IHostnameResolver, host: str, cause: Cause
    ) -> list[str]:
        receiver = _Receiver()

        async def ask() -> list[str]:
            hosts.resolveHostName(receiver, host)
            return await within(_QUESTION_SECONDS, self._clock, receiver.complete)

        claim = self.shares.claim(cause, domain_of_host(host))
        try:
            return await self.shares.run(receiver, claim, ask)
        except defer.TimeoutError:
            raise LookupFailed(
                f"the system found no address of {host} in {_QUESTION_SECONDS:g} "
                "seconds"
            ) from None
        except GaveWay as problem:
            raise OverBudget(str(problem)) from None

    async def _ask_dns(self, host: str, cause: Cause) -> list[str]:
        found: list[str] = []
        failures: list[LookupFailed | OverBudget] = []

        async def look(ask: Callable[..., Deferred[Any]], kind: int) -> None:
            try:
                records = await self._look_up(ask, host, kind, cause)
            except (LookupFailed, OverBudget) as failure:
                failures.append(failure)
            else:
                found.extend(_address(record) for record in records)

        looks = [
            Deferred.fromCoroutine(look(self._client.lookupIPV6Address, dns.AAAA)),
            Deferred.fromCoroutine(look(self._client.lookupAddress, dns.A)),
        ]
        for each in looks:  # both run already
            await each
        if failures and not found:
            raise failures[0]
        return found

    async def _look_up(
        self, ask: Callable[..., Deferred[Any]], name: str, kind: int, cause: Cause
    ) -> Sequence[Any]:
        """The payloads of the records of one type at `name`, with aliases followed."""
        key = (name.lower(), kind)
        claim = self.shares.claim(cause, domain_of_host(name))
        self.shares.join(key, claim)

        async def question() -> tuple[Sequence[Any], Sequence[Any], object]:
            answer: tuple[Sequence[Any], Sequence[Any], object]
            asked = ask(name, timeout=_TIMEOUTS)
            answer = await within(_QUESTION_SECONDS, self._clock, asked)
            return answer

        return await self.answers.fetch(
            key, lambda: self._ask(self.shares.run(key, claim, question), name, kind)
        )

    async def _ask(
        self,
        question: Coroutine[Deferred[Any], Any, tuple[Any, Any, object]],
        name: str,
        kind: int,
    ) -> tuple[Sequence[Any], float]:
        """The payloads for `_look_up`, and for how many seconds to keep them."""
        answers: Sequence[Any]
        try:
            answers, authority, _ = await question
        except GaveWay as problem:
            # Not `LookupFailed`, which would be remembered about the server.
            raise OverBudget(str(problem)) from None
        except DNSNameError as error:
            # Its first argument is the answer.
            authority = [e for each in error.args[:1] for e in each.authority]
            return [], _negative_seconds(authority)
        except (
            DomainError,
            defer.TimeoutError,
            CannotListenError,  # no descriptor is free
            ConnectError,
            ConnectionLost,  # over TCP, where an answer is too long for UDP
            OSError,
            ValueError,
            EOFError,
        ) as error:
            raise LookupFailed(describe(error)) from None
        return _records(name, kind, answers, authority)


def _records(
    name: str, kind: int, answers: Sequence[Any], authority: Sequence[Any]
) -> tuple[Sequence[Any], float]:
    """The payloads of the records of one type in an answer, with aliases followed.

    The second value is for how many seconds they hold. Raises `LookupFailed` for a
    long chain of aliases.
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
            return records[:_MAX_RECORDS], seconds
        if not aliases:
            return [], min(seconds, _negative_seconds(authority))
        owner = _text(aliases[0].payload.name).lower()
    why = f"more than {_MAX_ALIASES} aliases lead away from {name}"
    raise LookupFailed(why, "too_many_aliases")


def srv_records(payloads: Sequence[Any]) -> list[SrvRecord]:
    """The SRV records of an answer."""
    return [
        SrvRecord(
            record.priority,
            record.weight,
            record.port,
            _text(record.target) or ".",
        )
        for record in payloads
    ]


def describe_records(kind: int, payloads: Sequence[Any]) -> list[str]:
    """The records of an answer, each as it is written in a zone file."""
    if kind == dns.SRV:
        return [str(record) for record in srv_records(payloads)]
    if kind == dns.CNAME:
        return [_text(record.name) for record in payloads]
    return [_address(record) for record in payloads]


def _negative_seconds(authority: Sequence[Any]) -> float:
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
    # A DNS label may hold any byte.
    return name.name.decode("ascii", "backslashreplace")


def _address(record: dns.Record_A | dns.Record_AAAA) -> str:
    if isinstance(record, dns.Record_A):
        return str(record.dottedQuad())
    return str(ip_address(record.address))


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects the addresses from the system's resolver."""

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
