"""What name servers say, and what it means: records, none, or no certain answer."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import cast

from twisted.internet import defer
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as TcpRefused
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
    IResolver,
)
from twisted.names import dns
from twisted.names.error import (
    DNSFormatError,
    DNSNameError,
    DNSNotImplementedError,
    DNSQueryRefusedError,
    DNSQueryTimeoutError,
    DNSServerError,
    DNSUnknownError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from homeserver.outbound.resolver import Resolver
from homeserver.protocol.discovery import LookupFailed, NotResolvable, SrvRecord
from homeserver.protocol.names import ServerName
from tests.outbound.wire import start

SERVICE = "_matrix._tcp.peer.test"

Answers = Sequence[dns.RRHeader]


def srv(
    target: str | bytes,
    owner: str | bytes = SERVICE,
    numbers: tuple[int, int, int] = (1, 2, 3),
) -> dns.RRHeader:
    """An SRV record; its numbers are priority, weight and port."""
    priority, weight, port = numbers
    record = dns.Record_SRV(priority, weight, port, target)
    return dns.RRHeader(owner, dns.SRV, payload=record)


def a(address: str, owner: str | bytes = "peer.test") -> dns.RRHeader:
    """An A record."""
    return dns.RRHeader(owner, dns.A, payload=dns.Record_A(address))


def aaaa(address: str, owner: str | bytes = "peer.test") -> dns.RRHeader:
    """An AAAA record."""
    return dns.RRHeader(owner, dns.AAAA, payload=dns.Record_AAAA(address))


def cname(owner: str | bytes, target: str | bytes) -> dns.RRHeader:
    """A CNAME record."""
    return dns.RRHeader(owner, dns.CNAME, payload=dns.Record_CNAME(target))


def chain(length: int) -> list[dns.RRHeader]:
    """So many aliases, from `peer.test` to `end.test`."""
    names = ["peer.test", *(f"a{n}.test" for n in range(1, length)), "end.test"]
    return [cname(owner, to) for owner, to in pairwise(names)]


class DnsClient:
    """A DNS client whose answers come when the test gives them."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], Deferred[object]] = {}
        """What was asked for, by record type and name, and is not answered."""

    def lookupService(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("SRV", name, timeout)

    def lookupAddress(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("A", name, timeout)

    def lookupIPV6Address(self, name: str, timeout: Sequence[int]) -> Deferred[object]:
        return self._ask("AAAA", name, timeout)

    def _ask(self, kind: str, name: str, timeout: Sequence[int]) -> Deferred[object]:
        assert sum(timeout) <= 10
        dns.domainString(name)
        return self.asked.setdefault((kind, name), Deferred())

    def answer(self, kind: str, name: str, answer: Answers | Exception) -> None:
        """Answer a question, or let it fail."""
        asked = self.asked.pop((kind, name))
        if isinstance(answer, Exception):
            asked.errback(Failure(answer))
        else:
            asked.callback((answer, [], []))


@implementer(IHostnameResolver)
class System:
    """The system's resolver: it finds addresses when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, IResolutionReceiver]] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As `IHostnameResolver`."""
        resolution = cast("IHostResolution", None)
        resolutionReceiver.resolutionBegan(resolution)
        self.asked.append((hostName, resolutionReceiver))
        return resolution

    def find(self, *found: IPv4Address | IPv6Address | HostnameAddress) -> None:
        """Answer the first question."""
        _, receiver = self.asked.pop(0)
        for each in found:
            receiver.addressResolved(each)
        receiver.resolutionComplete()


# What a name server does instead of an answer, and what is said of it.
NO_ANSWERS: list[tuple[Exception, str]] = [
    (DNSServerError("SERVFAIL"), "the name server refused: DNSServerError"),
    (DNSQueryRefusedError("x" * 999), "the name server refused: DNSQueryRefusedError"),
    (DNSFormatError(), "the name server refused: DNSFormatError"),
    (DNSNotImplementedError(), "the name server refused: DNSNotImplementedError"),
    (DNSUnknownError(), "the name server refused: DNSUnknownError"),
    (DNSQueryTimeoutError(1), "the name server did not answer in time"),
    (defer.TimeoutError(), "the name server did not answer in time"),
    (OSError(101, "no network"), "the name server cannot be asked: [Errno 101] no ne"),
    (EOFError("short"), "the name server cannot be asked: short"),
    (ValueError("odd"), "the name server cannot be asked: odd"),
    (TcpRefused(), "the name server cannot be asked: Connection was refused"),
]


class ResolverTestCase(SynchronousTestCase):
    """A resolver that asks a DNS client for everything."""

    def setUp(self) -> None:
        """Make the resolver."""
        self.dns = DnsClient()
        self.resolver = self.make_resolver(None)

    def make_resolver(
        self,
        hosts: IHostnameResolver | None,
        services: Sequence[str] = ("_matrix-fed._tcp", "_matrix._tcp"),
    ) -> Resolver:
        """A resolver over the DNS client."""
        return Resolver(cast("IResolver", self.dns), hosts, services, Random(1))


class SrvTests(ResolverTestCase):
    """SRV records."""

    def records(self, answer: Answers) -> list[SrvRecord]:
        """The SRV records that an answer gives."""
        asked = start(self.resolver.srv(SERVICE))
        self.assertNoResult(asked)
        self.dns.answer("SRV", SERVICE, answer)
        return self.successResultOf(asked)

    def failure(self, answer: Answers | Exception) -> str:
        """What is said where an answer is none."""
        asked = start(self.resolver.srv(SERVICE))
        self.dns.answer("SRV", SERVICE, answer)
        return str(self.failureResultOf(asked, LookupFailed).value)

    def test_records(self) -> None:
        """Each record's priority, weight, port and target are read."""
        self.assertEqual(
            self.records([srv("a.test", numbers=(10, 0, 65535)), srv("b_1.test")]),
            [SrvRecord(10, 0, 65535, "a.test"), SrvRecord(1, 2, 3, "b_1.test")],
        )

    def test_no_records(self) -> None:
        """An empty answer means that there are none."""
        self.assertEqual(self.records([]), [])

    def test_no_such_name(self) -> None:
        """NXDOMAIN means that there are none."""
        asked = start(self.resolver.srv(SERVICE))
        self.dns.answer("SRV", SERVICE, DNSNameError("NXDOMAIN"))
        self.assertEqual(self.successResultOf(asked), [])

    def test_no_answer(self) -> None:
        """Whatever else a name server says, or does not say, is no certain answer."""
        for problem, said in NO_ANSWERS:
            with self.subTest(said):
                self.assertTrue(self.failure(problem).startswith(said))

    def test_name_that_cannot_be_asked_for(self) -> None:
        """A name that DNS cannot have is a look-up that fails."""
        asked = start(self.resolver.srv("a" * 64 + ".test"))
        said = str(self.failureResultOf(asked, LookupFailed).value)
        self.assertTrue(said.startswith("the name server cannot be asked: "))

    def test_root_as_target(self) -> None:
        """The target of a service that is decidedly not there is a dot."""
        self.assertEqual(
            self.records([srv(b"", numbers=(0, 0, 0))]), [SrvRecord(0, 0, 0, ".")]
        )

    def test_records_of_other_names(self) -> None:
        """Records that were not asked for are ignored."""
        self.assertEqual(self.records([srv("a.test", "_matrix._tcp.evil.test")]), [])

    def test_records_of_other_types(self) -> None:
        """Records of another type at the same name are ignored."""
        self.assertEqual(self.records([a("192.0.2.1", SERVICE)]), [])

    def test_name_in_other_letters(self) -> None:
        """The case of a name in an answer does not matter."""
        self.assertEqual(len(self.records([srv("a.test", SERVICE.upper())])), 1)

    def test_alias(self) -> None:
        """The records of a service that is an alias are those of what it stands for."""
        answer = [cname(SERVICE, "_x.b.test"), srv("a.test", "_x.b.test")]
        self.assertEqual([r.target for r in self.records(answer)], ["a.test"])

    def test_target_that_is_no_host_name(self) -> None:
        """A target that is not a host's name makes the whole answer nonsense."""
        targets = [
            b"a b.test",
            b"a.test\n",
            b"\x1b[31mred.test",
            b"caf\xc3\xa9.test",
            b"\xff.test",
            b"a..test",
            b".a.test",
            b"a" * 64 + b".test",
            b"a." * 127 + b"test",
            b"a.test:8448",
            b"::1",
        ]
        for target in targets:
            with self.subTest(target):
                said = self.failure([srv("good.test"), srv(target)])
                self.assertTrue(said.startswith("a target is not a host name: b"))
                self.assertTrue(said.isprintable())
                self.assertLess(len(said), 150)

    def test_owner_that_is_no_text(self) -> None:
        """Records whose owner is not ASCII are of another name."""
        self.assertEqual(self.records([srv("a.test", b"\xff.test")]), [])


class AddressTests(ResolverTestCase):
    """Addresses by DNS."""

    def ask(self, host: str = "peer.test") -> Deferred[list[str]]:
        """Ask for a host's addresses."""
        return start(self.resolver.addresses(host))

    def answer(
        self, v4: Answers | Exception = (), v6: Answers | Exception = ()
    ) -> Deferred[list[str]]:
        """The addresses of a host of which these records are told."""
        asked = self.ask()
        self.dns.answer("A", "peer.test", v4)
        self.assertNoResult(asked)
        self.dns.answer("AAAA", "peer.test", v6)
        return asked

    def test_both_families_are_asked_at_once(self) -> None:
        """A and AAAA records are asked for together."""
        self.ask()
        self.assertEqual(
            set(self.dns.asked), {("A", "peer.test"), ("AAAA", "peer.test")}
        )

    def test_both_families(self) -> None:
        """All addresses of both families are found."""
        asked = self.answer(
            [a("192.0.2.1"), a("192.0.2.2")], [aaaa("2001:DB8:0::1"), aaaa("::1")]
        )
        found: list[str] = self.successResultOf(asked)
        self.assertEqual(set(found), {"192.0.2.1", "192.0.2.2", "2001:db8::1", "::1"})

    def test_one_family_fails(self) -> None:
        """What is found in one family is used where the other look-up fails."""
        for problem in (DNSServerError(), defer.TimeoutError(), DNSNameError()):
            found = self.answer(v4=[a("192.0.2.1")], v6=problem)
            self.assertEqual(self.successResultOf(found), ["192.0.2.1"])
            found = self.answer(v4=problem, v6=[aaaa("2001:db8::1")])
            self.assertEqual(self.successResultOf(found), ["2001:db8::1"])

    def test_both_families_fail(self) -> None:
        """Where both look-ups fail, the host's are not known."""
        asked = self.answer(DNSServerError(), DNSServerError())
        self.assertEqual(
            str(self.failureResultOf(asked, LookupFailed).value),
            "the name server refused: DNSServerError",
        )

    def test_one_fails_and_the_other_is_empty(self) -> None:
        """An empty answer beside a failed look-up is not a host without addresses."""
        asked = self.answer(v4=[], v6=DNSServerError())
        self.assertEqual(
            str(self.failureResultOf(asked, LookupFailed).value),
            "the name server refused: DNSServerError",
        )

    def test_none(self) -> None:
        """A host without an address cannot be reached."""
        for nothing in ((), DNSNameError()):
            asked = self.answer(nothing, nothing)
            self.assertEqual(
                str(self.failureResultOf(asked, LookupFailed).value),
                "peer.test has no address (A or AAAA record)",
            )

    def test_aliases_are_followed(self) -> None:
        """Eight aliases are followed, in whatever order they are told."""
        answer = [*chain(8), a("192.0.2.1", "END.test")]
        for records in (answer, answer[::-1]):
            self.assertEqual(
                self.successResultOf(self.answer(v4=records)), ["192.0.2.1"]
            )

    def test_alias_to_nothing(self) -> None:
        """An alias for a name without an address gives none."""
        asked = self.answer(v4=chain(2), v6=chain(2))
        self.assertIn(
            "has no address", str(self.failureResultOf(asked, LookupFailed).value)
        )

    def test_too_many_aliases(self) -> None:
        """Chains that are too long, and loops, fail."""
        chains = [
            [*chain(9), a("192.0.2.1", "end.test")],
            [cname("peer.test", "a.test"), cname("a.test", "peer.test")],
            [cname("peer.test", "peer.test")],
        ]
        for answer in chains:
            asked = self.answer(v4=answer, v6=answer)
            self.assertEqual(
                str(self.failureResultOf(asked, LookupFailed).value),
                "more than 8 aliases lead away from peer.test",
            )

    def test_addresses_of_other_names(self) -> None:
        """An address of a name that no alias leads to is ignored."""
        asked = self.answer(v4=[a("192.0.2.1"), a("192.0.2.2", "evil.test")])
        self.assertEqual(self.successResultOf(asked), ["192.0.2.1"])

    def test_literals(self) -> None:
        """An address is its own address, in its shortest form; nobody is asked."""
        literals = [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::1", "::1"),
        ]
        for literal, address in literals:
            self.assertEqual(self.successResultOf(self.ask(literal)), [address])
        self.assertEqual(self.dns.asked, {})

    def test_who_asks_may_give_up(self) -> None:
        """A look-up that is cancelled is cancelled, and leaves no error behind."""
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, defer.CancelledError)
        for kind in ("A", "AAAA"):
            self.dns.answer(kind, "peer.test", DNSServerError())


class SystemTests(ResolverTestCase):
    """Addresses by the system's resolver."""

    def setUp(self) -> None:
        """Make a resolver that asks the system."""
        super().setUp()
        self.system = System()
        self.resolver = self.make_resolver(self.system)

    def test_addresses(self) -> None:
        """The system is asked for addresses, and no name server is."""
        asked = start(self.resolver.addresses("peer.test"))
        self.assertNoResult(asked)
        self.assertEqual([host for host, _ in self.system.asked], ["peer.test"])
        self.system.find(
            IPv4Address("TCP", "192.0.2.1", 0),
            IPv6Address("TCP", "2001:db8::1", 0),
            HostnameAddress(b"other.test", 0),
        )
        self.assertEqual(self.successResultOf(asked), ["192.0.2.1", "2001:db8::1"])
        self.assertEqual(self.dns.asked, {})

    def test_none(self) -> None:
        """A host that the system does not find cannot be reached."""
        asked = start(self.resolver.addresses("peer.test"))
        self.system.find()
        self.failureResultOf(asked, LookupFailed)

    def test_literals(self) -> None:
        """The system is not asked for what is an address."""
        asked = start(self.resolver.addresses("192.0.2.1"))
        self.assertEqual(self.successResultOf(asked), ["192.0.2.1"])
        self.assertEqual(self.system.asked, [])

    def test_services(self) -> None:
        """SRV records are asked for by DNS all the same."""
        start(self.resolver.srv(SERVICE))
        self.assertEqual(list(self.dns.asked), [("SRV", SERVICE)])

    def test_who_asks_may_give_up(self) -> None:
        """A look-up that is cancelled is cancelled, and leaves no error behind."""
        asked = start(self.resolver.addresses("peer.test"))
        asked.cancel()
        self.failureResultOf(asked, defer.CancelledError)
        self.system.find(IPv4Address("TCP", "192.0.2.1", 0))


class RouteTests(ResolverTestCase):
    """From a name to routes."""

    def routes(self, answers: Sequence[Answers | Exception]) -> list[str]:
        """The routes to `peer.test` where the services are answered so, in order."""
        asked = start(self.resolver.resolve(ServerName.parse("peer.test")))
        for service, answer in zip(("_matrix-fed", "_matrix"), answers, strict=False):
            self.dns.answer("SRV", f"{service}._tcp.peer.test", answer)
        return [str(route) for route in self.successResultOf(asked).routes]

    def test_no_service(self) -> None:
        """A name without SRV records is reached at its own address."""
        self.assertEqual(self.routes([(), DNSNameError()]), ["peer.test:8448"])

    def test_first_service_that_is_there(self) -> None:
        """The second service is asked for only if the first one is not there."""
        self.assertEqual(
            self.routes([[srv("a.test", "_matrix-fed._tcp.peer.test")]]), ["a.test:3"]
        )
        self.assertEqual(self.dns.asked, {})
        self.assertEqual(self.routes([(), [srv("b.test")]]), ["b.test:3"])

    def test_failed_look_up_is_the_end(self) -> None:
        """A service that is not known to be there or not leads nowhere."""
        asked = start(self.resolver.resolve(ServerName.parse("peer.test")))
        self.dns.answer("SRV", "_matrix-fed._tcp.peer.test", DNSServerError())
        failure = self.failureResultOf(asked, NotResolvable)
        self.assertEqual(
            str(failure.value),
            "SRV _matrix-fed._tcp.peer.test: the name server refused: DNSServerError",
        )
        self.assertEqual(self.dns.asked, {})

    def test_chance_is_passed_in(self) -> None:
        """Records of the same priority are tried in an order by chance and weight."""
        answer = [
            srv(f"{name}.test", "_matrix-fed._tcp.peer.test", (1, weight, 1))
            for name, weight in [("a", 1), ("b", 1), ("c", 1000)]
        ]
        orders = [tuple(self.routes([answer])) for _ in range(20)]
        self.assertGreater(len(set(orders)), 1)
        first = [order[0] for order in orders]
        self.assertGreater(first.count("c.test:1"), 15)
