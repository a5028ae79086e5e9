"""Records of the DNS, and a name server's client that says what the test says."""

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IResolver
from twisted.names import dns
from twisted.python.failure import Failure

Answers = Sequence[dns.RRHeader]


def srv(
    target: str | bytes,
    owner: str | bytes = "_matrix._tcp.peer.test",
    numbers: tuple[int, int, int] = (1, 2, 3),
    ttl: int = 0,
) -> dns.RRHeader:
    """An SRV record; its numbers are priority, weight and port."""
    priority, weight, port = numbers
    record = dns.Record_SRV(priority, weight, port, target)
    return dns.RRHeader(owner, dns.SRV, ttl=ttl, payload=record)


def a(address: str, owner: str | bytes = "peer.test", ttl: int = 0) -> dns.RRHeader:
    """An A record."""
    return dns.RRHeader(owner, dns.A, ttl=ttl, payload=dns.Record_A(address))


def aaaa(address: str, owner: str | bytes = "peer.test") -> dns.RRHeader:
    """An AAAA record."""
    return dns.RRHeader(owner, dns.AAAA, payload=dns.Record_AAAA(address))


def cname(owner: str | bytes, target: str | bytes, ttl: int = 0) -> dns.RRHeader:
    """A CNAME record."""
    return dns.RRHeader(owner, dns.CNAME, ttl=ttl, payload=dns.Record_CNAME(target))


def soa(ttl: int, minimum: int) -> dns.RRHeader:
    """The SOA record that says for how long it holds that there is no record."""
    record = dns.Record_SOA(b"ns.test", b"root.test", minimum=minimum)
    return dns.RRHeader(b"test", dns.SOA, ttl=ttl, payload=record)


class ScriptedClient:
    """A DNS client whose answers come when the test gives them."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], Deferred[object]] = {}
        """What is being asked for, by record type and name, in the order of asking."""

        self.given_up: list[tuple[str, str]] = []
        """What was asked for, and is not waited for any more."""

    @property
    def resolver(self) -> IResolver:
        """The client, as its callers have it."""
        return cast("IResolver", self)

    def lookupService(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("SRV", name, timeout)

    def lookupCanonicalName(
        self, name: str, timeout: Sequence[int]
    ) -> Deferred[object]:
        return self._ask("CNAME", name, timeout)

    def lookupAddress(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("A", name, timeout)

    def lookupIPV6Address(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("AAAA", name, timeout)

    def _ask(self, kind: str, name: str, timeout: Sequence[int]) -> Deferred[object]:
        assert sum(timeout) <= 10
        dns.domainString(name)
        question = (kind, name)
        assert question not in self.asked
        self.asked[question] = Deferred(lambda _: self._give_up(question))
        return self.asked[question]

    def _give_up(self, question: tuple[str, str]) -> None:
        del self.asked[question]
        self.given_up.append(question)

    def answer(
        self, kind: str, name: str, answer: Answers | Exception, *authority: object
    ) -> None:
        """Answer a question, or let it fail."""
        asked = self.asked.pop((kind, name))
        if isinstance(answer, Exception):
            asked.errback(Failure(answer))
        else:
            asked.callback((answer, list(authority), []))
