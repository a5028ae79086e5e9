"""From a server's name to routes, over what the DNS and a well-known document say."""

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.names.error import DNSNameError, DNSServerError
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.addresses import AddressPolicy
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.resolver import Resolver, _Lookups
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.dialer import Dialer
from homeserver.protocol.discovery import (
    LookupFailed,
    NotResolvable,
    Resolution,
    Route,
    Step,
)
from homeserver.protocol.identifiers import ServerName
from tests.support.dns_records import Answers, ScriptedClient, a, cname, srv
from tests.support.memory_tls_servers import Net, ok, start
from tests.support.outbound_stack import CA, GOOD, trusting

FED = "_matrix-fed._tcp.peer.test"
OLD = "_matrix._tcp.peer.test"


class ResolverTestCase(SynchronousTestCase):
    """A resolver over a DNS client and a memory reactor."""

    has_well_known = False

    def setUp(self) -> None:
        """Make the resolver."""
        self.net = Net()
        self.dns = ScriptedClient()
        lookups = self.lookups = DnsLookups(self.dns.resolver, None, self.net.clock)
        context = trusting(CA)
        dialer = Dialer(
            self.net.reactor,
            lookups.addresses,
            AddressPolicy([], []),
            lambda _: context,
        )
        budgets = Budgets(self.net.clock, lambda _: False)
        well_known = (
            WellKnown(dialer, budgets, self.net.clock) if self.has_well_known else None
        )
        services = ["_matrix-fed._tcp", "_matrix._tcp"]
        self.resolver = Resolver(lookups, well_known, services, Random(1))

    def resolve(self, name: str = "peer.test") -> Deferred[Resolution]:
        """Resolve a name."""
        return start(self.resolver.resolve(ServerName.parse(name), OURSELVES))

    def routes(self, resolving: Deferred[Resolution]) -> list[str]:
        """The routes that were found; nothing is asked for any more."""
        resolution: Resolution = self.successResultOf(resolving)
        assert self.dns.asked == {}
        assert self.net.dialled == []
        return [str(route) for route in resolution.routes]


class SrvTests(ResolverTestCase):
    """By the DNS alone."""

    def found(self, answers: Sequence[Answers | Exception]) -> list[str]:
        """The routes where the services are answered so, in order."""
        resolving = self.resolve()
        for service, answer in zip((FED, OLD), answers, strict=False):
            self.dns.answer("SRV", service, answer)
        return self.routes(resolving)

    def test_failed_look_up_is_the_end(self) -> None:
        """A service that is not known to be there or not leads nowhere."""
        resolving = self.resolve()
        self.dns.answer("SRV", FED, DNSServerError())
        failure = self.failureResultOf(resolving, NotResolvable)
        assert str(failure.value) == f"SRV {FED}: the name server answers SERVFAIL"
        assert self.dns.asked == {}

    def test_records_that_cannot_be_used(self) -> None:
        """Of targets of any bytes, those that are hosts are routes."""
        records = [srv(b"\xff.test", FED), srv("a.test", FED), srv(b"", FED)]
        assert self.found([records]) == ["a.test:3"]

    def test_chance_is_passed_in(self) -> None:
        """Records of the same priority are tried in an order by chance and weight."""
        answer = [
            srv(f"{name}.test", FED, (1, weight, 1))
            for name, weight in [("a", 1), ("b", 1), ("c", 1000)]
        ]
        orders = [tuple(self.found([answer])) for _ in range(20)]
        assert len(set(orders)) > 1
        first = [order[0] for order in orders]
        assert first.count("c.test:1") > 15

    def test_weight_0(self) -> None:
        """A record of weight 0 comes first at times, as RFC 2782 wants it."""
        answer = [srv("a.test", FED, (1, 0, 1)), srv("b.test", FED, (1, 1, 1))]
        firsts = {self.found([answer])[0] for _ in range(50)}
        assert firsts == {"a.test:1", "b.test:1"}

    def test_chance_is_drawn_anew(self) -> None:
        """Records that are known already come in a new order each time."""
        answer = [srv(f"{name}.test", FED, ttl=60) for name in "abc"]
        first = self.found([answer])
        orders = {tuple(self.found([])) for _ in range(50)}
        assert len(orders) == 6
        assert tuple(first) in orders

    def test_no_well_known(self) -> None:
        """Where well-known documents are not asked for, there is none."""
        asked = start(_Lookups(self.lookups, None, OURSELVES).well_known("peer.test"))
        failure = self.failureResultOf(asked, LookupFailed)
        assert str(failure.value) == "well-known documents are not asked for"


# The document, or what there is in its place: the name's own SRV records count.
NO_DELEGATIONS = [
    ok(b"{}", status="404 Not Found"),
    ok(b"[]"),
    ok(b'{"m.server":5}'),
    ok(b'{"m.server":"b_c"}'),
]


class WellKnownTests(ResolverTestCase):
    """By a well-known document, and the DNS."""

    has_well_known = True

    def find_address(self) -> None:
        """Let the host of the document have an address, as long as one asks for it."""
        self.dns.answer("A", "peer.test", [a("192.0.2.1", ttl=60)])
        self.dns.answer("AAAA", "peer.test", [])

    def ask(self, answer: bytes) -> Deferred[Resolution]:
        """Resolve `peer.test`, whose document is answered so."""
        resolving = self.resolve()
        self.find_address()
        assert self.net.dialled == [("192.0.2.1", 443)]
        self.net.accept(GOOD).say(answer)
        return resolving

    def test_no_delegation(self) -> None:
        """Whatever is wrong with the document, the name's own records come next."""
        for answer in NO_DELEGATIONS:
            with self.subTest(answer):
                self.setUp()
                resolving = self.ask(answer)
                self.dns.answer("SRV", FED, [srv("s.test", FED, (1, 2, 9))])
                assert self.routes(resolving) == ["s.test:9"]

    def test_no_answer(self) -> None:
        """A document that does not come in ten seconds is not waited for."""
        resolving = self.resolve()
        self.find_address()
        self.net.accept(GOOD)
        self.net.clock.advance(9.9)
        assert self.dns.asked == {}
        self.net.clock.advance(0.1)
        self.dns.answer("SRV", FED, [srv("s.test", FED, (1, 2, 9))])
        assert self.routes(resolving) == ["s.test:9"]

    def test_no_address(self) -> None:
        """A host without a website is one without a delegation."""
        resolving = self.resolve()
        for kind in ("A", "AAAA"):
            self.dns.answer(kind, "peer.test", DNSNameError())
        self.dns.answer("SRV", FED, [])
        self.dns.answer("SRV", OLD, [])
        assert self.routes(resolving) == ["peer.test:8448"]

    def test_remembered(self) -> None:
        """What a document said is known at the next resolution."""
        self.ask(ok(b'{"m.server":"b.test:7"}'))
        assert self.routes(self.resolve()) == ["b.test:7"]


class AliasTests(ResolverTestCase):
    """SRV targets that are aliases."""

    def aliases(self, *routes: Route) -> Deferred[list[Step]]:
        """Which targets among the routes to a server are aliases."""
        name = ServerName.parse("peer.test")
        return start(self.resolver.aliases(Resolution(name, [], routes)))

    def by_srv(self, host: str) -> Route:
        """A route by an SRV record."""
        return Route(host, 1, "peer.test", "peer.test", srv_priority=0, srv_weight=0)

    def test_aliases(self) -> None:
        """Each target that is an alias is told, and no other one is."""
        told = self.aliases(*map(self.by_srv, ("a.test", "b.test", "c.test")))
        self.dns.answer("CNAME", "a.test", [cname("a.test", "x.test")])
        self.dns.answer("CNAME", "b.test", [])
        self.dns.answer("CNAME", "c.test", [cname("c.test", "y.test")])
        assert self.successResultOf(told) == [
            Step("srv", "a.test", "is an alias of x.test, which RFC 2782 forbids"),
            Step("srv", "c.test", "is an alias of y.test, which RFC 2782 forbids"),
        ]

    def test_alias_that_a_terminal_obeys(self) -> None:
        """An alias of any bytes is told in characters that only show."""
        told = self.aliases(self.by_srv("a.test"))
        self.dns.answer("CNAME", "a.test", [cname("a.test", b"x\x1b[31m.test")])
        [step] = self.successResultOf(told)
        assert r"is an alias of x\x1b[31m.test," in step.found

    def test_failed_look_up(self) -> None:
        """Of a target that cannot be looked up nothing is told."""
        told = self.aliases(*map(self.by_srv, ("a.test", "b.test")))
        self.dns.answer("CNAME", "a.test", DNSServerError())
        self.dns.answer("CNAME", "b.test", [cname("b.test", "x.test")])
        assert [step.asked for step in self.successResultOf(told)] == ["b.test"]

    def test_other_routes(self) -> None:
        """A server's own name may be an alias."""
        told = self.aliases(Route("peer.test", 8448, "peer.test", "peer.test"))
        assert self.successResultOf(told) == []
        assert self.dns.asked == {}
