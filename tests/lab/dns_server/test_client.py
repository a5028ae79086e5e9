"""Our own look-ups of a lab's names, which need no socket."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.names import dns
from zope.interface import implementer

from homeserver.lab.dns_server.client import LabResolver, as_resolver
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.server import Responder
from homeserver.lab.dns_server.zone import Question, Reply, Zone
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.protocol.discovery import LookupFailed
from tests.support.lab_name_server import RECORDS
from tests.support.waiting import wait

HOSTS = {"localhost": ["127.0.0.1", "::1"]}


@implementer(IHostnameResolver)
class Hosts:
    """The system's look-ups, by a table."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """As `IHostnameResolver`."""
        self.asked.append(hostName)
        for host in HOSTS.get(hostName, []):
            kind = IPv6Address if ":" in host else IPv4Address
            if kind in addressTypes:
                resolutionReceiver.addressResolved(kind("TCP", host, 0))
        resolutionReceiver.resolutionComplete()


def look_ups(responder: Responder | None = None) -> tuple[DnsLookups, Hosts]:
    """Discovery's look-ups over the lab's zone."""
    zone = Zone("lab.test")
    zone.add([*RECORDS, Record("other.example", "CNAME", "a.lab.test")])
    hosts = Hosts()
    resolver = LabResolver(responder or zone.answer, hosts, zone.is_ours)
    return DnsLookups(as_resolver(resolver), None, Clock()), hosts


ADDRESSES: list[tuple[str, list[str], bool]] = [
    ("a.lab.test", ["127.0.0.1", "::1"], False),
    ("A.LAB.TEST", ["127.0.0.1", "::1"], False),
    ("alias.lab.test", ["127.0.0.1", "::1"], False),
    ("other.example", ["127.0.0.1", "::1"], False),
    ("localhost", ["127.0.0.1", "::1"], True),
]


@pytest.mark.parametrize(("host", "addresses", "is_system_asked"), ADDRESSES)
def test_our_own_look_ups_know_the_zone_and_the_system(
    host: str, addresses: list[str], *, is_system_asked: bool
) -> None:
    """A host of the zone is found in it, and any other one by the system."""
    found, hosts = look_ups()
    assert sorted(wait(found.addresses(host, OURSELVES))) == addresses
    assert bool(hosts.asked) is is_system_asked


MISSING = [("no.lab.test", []), ("no.example", ["no.example", "no.example"])]


@pytest.mark.parametrize(("host", "asked"), MISSING)
def test_the_system_is_not_asked_for_names_of_the_zone(
    host: str, asked: list[str]
) -> None:
    """A name below the zone that has no record has no address anywhere."""
    found, hosts = look_ups()
    with pytest.raises(LookupFailed, match="no address"):
        wait(found.addresses(host, OURSELVES))
    assert hosts.asked == asked


def test_our_own_look_ups_find_services_and_aliases() -> None:
    """SRV and CNAME records come from the zone; what is not there, is not."""
    found, hosts = look_ups()
    [srv] = wait(found.srv("_matrix-fed._tcp.a.lab.test", OURSELVES))
    assert (srv.port, srv.target) == (8448, "a.lab.test")
    assert wait(found.srv("_matrix._tcp.no.example", OURSELVES)) == []
    assert wait(found.alias("alias.lab.test", OURSELVES)) == "a.lab.test"
    assert wait(found.alias("a.lab.test", OURSELVES)) is None
    assert hosts.asked == []


@pytest.mark.parametrize(
    ("code", "words"),
    [(dns.ESERVER, "SERVFAIL"), (dns.EREFUSED, "REFUSED"), (dns.ENOTIMP, "NOTIMP")],
)
def test_faults_reach_our_own_look_ups(code: int, words: str) -> None:
    """An error response of the responder is a failed look-up, as over a socket."""
    found, _ = look_ups(lambda _: Reply(code=code))
    with pytest.raises(LookupFailed, match=words):
        wait(found.srv("_matrix._tcp.a.lab.test", OURSELVES))


def test_a_truncated_answer_is_asked_for_again() -> None:
    """Our own look-ups go over to TCP as others do."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    asked: list[bool] = []

    def answer(question: Question) -> Reply:
        asked.append(question.by_tcp)
        return zone.answer(question) if question.by_tcp else Reply(is_truncated=True)

    found, _ = look_ups(answer)
    assert len(wait(found.srv("_matrix-fed._tcp.a.lab.test", OURSELVES))) == 1
    assert asked == [False, True]


def test_silence_ends_with_the_time_of_the_question() -> None:
    """A question without an answer fails after its time, and nothing is left."""
    found, _ = look_ups(lambda _: None)
    results: list[object] = []
    asking = Deferred.fromCoroutine(found.srv("_matrix._tcp.a.lab.test", OURSELVES))
    asking.addErrback(lambda failure: results.append(failure.value))
    found._clock.advance(10)  # type: ignore[attr-defined]
    [problem] = results
    assert isinstance(problem, LookupFailed)
    assert "did not answer in time" in str(problem)
