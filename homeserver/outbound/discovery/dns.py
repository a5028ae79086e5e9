"""DNS records, and the addresses of hosts.

Rules: "no such record" is only what a name server answers (NXDOMAIN, or an empty
answer). A time-out, SERVFAIL and a malformed answer are failed look-ups. An answer is
kept for its time to live and no longer; a failure is not kept.

Specification: RFC 1035.
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
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.handled import handled
from homeserver.net.networks import domain_of_host
from homeserver.net.shares import GaveWay, Shares
from homeserver.net.time_limit import within
from homeserver.outbound.discovery.name_servers import describe
from homeserver.outbound.discovery.records import read_records
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import LookupFailed, SrvRecord

# The seconds of each round: three rounds, six seconds in all.
_TIMEOUTS = (1, 2, 3)

# For all rounds, all servers, and TCP where an answer is too long for UDP.
_QUESTION_SECONDS = 10.0

_Answer = tuple[Sequence[Any], Sequence[Any], object]
"""The answer, authority and additional sections."""

MAX_QUESTIONS = 100  # at once: each takes a socket, of a process that may have 1024
_MAX_WAITING = 1000  # for one of those


class DnsLookups:
    """Look-ups in the DNS, with a cache."""

    def __init__(
        self,
        dns_client: IResolver,
        hosts: IHostnameResolver | None,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
        exchanges: Exchanges | None = None,
    ) -> None:
        """`hosts` looks up addresses; if it is None, `dns_client` does that too.

        `trusts` is as in `Shares`. `exchanges` has each question that is asked.
        """
        self.exchanges = exchanges or Exchanges(clock)
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
        ask = self._client.lookupService
        return list(await self._look_up(ask, name, dns.SRV, cause))

    async def alias(self, host: str, cause: Cause) -> str | None:
        """The name that `host` is an alias of; None if it is no alias.

        Raises `LookupFailed`.
        """
        ask = self._client.lookupCanonicalName
        records = await self._look_up(ask, host, dns.CNAME, cause)
        return records[0] if records else None

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
        exchange = self.exchanges.open("dns", "out", "A, AAAA", host)
        exchange.via = "system"
        try:
            found = await self.shares.run(receiver, claim, ask)
            exchange.verdict = ", ".join(found)
        except defer.TimeoutError:
            failure = LookupFailed(
                f"the system found no address of {host} in {_QUESTION_SECONDS:g} "
                "seconds"
            )
            _note_failure(exchange, failure)
            raise failure from None
        except GaveWay as problem:
            raise OverBudget(str(problem)) from None
        finally:
            exchange.close()
        return found

    async def _ask_dns(self, host: str, cause: Cause) -> list[str]:
        found: list[str] = []
        failures: list[LookupFailed | OverBudget] = []

        async def look(ask: Callable[..., Deferred[Any]], kind: int) -> None:
            try:
                records = await self._look_up(ask, host, kind, cause)
            except (LookupFailed, OverBudget) as failure:
                failures.append(handled(failure))
            else:
                found.extend(records)

        looks = [
            Deferred.fromCoroutine(look(self._client.lookupIPV6Address, dns.AAAA)),
            Deferred.fromCoroutine(look(self._client.lookupAddress, dns.A)),
        ]
        for each in looks:  # both run already
            await each
        if failures and not found:
            raise failures.pop(0)  # no frame of it may hold it
        return found

    async def _look_up(
        self, ask: Callable[..., Deferred[Any]], name: str, kind: int, cause: Cause
    ) -> Sequence[Any]:
        """The records of one type at `name`, with aliases followed."""
        key = (name.lower(), kind)
        claim = self.shares.claim(cause, domain_of_host(name))
        self.shares.join(key, claim)

        async def question() -> _Answer:
            answer: _Answer
            asked = ask(name, timeout=_TIMEOUTS)
            answer = await within(_QUESTION_SECONDS, self._clock, asked)
            return answer

        return await self.answers.fetch(
            key, lambda: self._ask(self.shares.run(key, claim, question), name, kind)
        )

    async def _ask(
        self,
        question: Coroutine[Deferred[Any], Any, _Answer],
        name: str,
        kind: int,
    ) -> tuple[Sequence[Any], float]:
        """The records for `_look_up`, and for how many seconds to keep them."""
        exchange = self.exchanges.open("dns", "out", dns.QUERY_TYPES[kind], name)
        try:
            answers, authority = await _answer(question)
            records, seconds = read_records(name, kind, answers, authority)
            if exchange.details is not None:
                exchange.verdict = ", ".join(map(str, records)) or "no such record"
        except LookupFailed as problem:
            _note_failure(exchange, problem)
            raise
        finally:
            exchange.close()
        return records, seconds


def _note_failure(exchange: Exchange, problem: LookupFailed) -> None:
    exchange.reason, exchange.error = problem.reason, str(problem)


async def _answer(
    question: Coroutine[Deferred[Any], Any, _Answer],
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The answer and authority sections; no answers where there is no such name.

    Raises `LookupFailed` and `OverBudget`.
    """
    try:
        answers, authority, _ = await question
    except GaveWay as problem:
        # Not `LookupFailed`, which would be remembered about the server.
        raise OverBudget(str(problem)) from None
    except DNSNameError as error:
        # Its first argument is the answer.
        return [], [e for each in error.args[:1] for e in each.authority]
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
    return answers, authority


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
