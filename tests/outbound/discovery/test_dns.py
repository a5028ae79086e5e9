"""What name servers say, and what it means: records, none, or no certain answer."""

from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, cast

from twisted.internet import defer
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.error import ConnectionRefusedError as TcpRefused
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.task import Clock
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
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange, Exchanges
from homeserver.net.shares import GaveWay
from homeserver.net.waiting_work import Claim
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import LookupFailed, SrvRecord
from tests.support.dns_records import Answers, ScriptedClient, a, aaaa, cname, soa, srv
from tests.support.memory_tls_servers import start

SERVICE = "_matrix._tcp.peer.test"


def chain(length: int) -> list[dns.RRHeader]:
    """So many aliases, from `peer.test` to `end.test`."""
    names = ["peer.test", *(f"a{n}.test" for n in range(1, length)), "end.test"]
    return [cname(owner, to) for owner, to in pairwise(names)]


def no_such_name(*authority: dns.RRHeader) -> DNSNameError:
    """NXDOMAIN, as `twisted.names` tells it: with the message."""
    message = dns.Message(rCode=dns.ENAME)
    message.authority = list(authority)
    return DNSNameError(message)


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
    (DNSServerError("SERVFAIL"), "the name server answers SERVFAIL"),
    (DNSQueryRefusedError("x" * 999), "the name server answers REFUSED"),
    (DNSFormatError(), "the name server answers FORMERR"),
    (DNSNotImplementedError(), "the name server answers NOTIMP"),
    (DNSUnknownError(), "the name server answers DNSUnknownError"),
    (DNSQueryTimeoutError(1), "the name server did not answer in time"),
    (defer.TimeoutError(), "the name server did not answer in time"),
    (OSError(101, "no net"), "the name server cannot be asked: no net"),
    (EOFError("short"), "the name server cannot be asked: short"),
    (ValueError("odd"), "the name server cannot be asked: odd"),
    (
        TcpRefused(),
        "the name server cannot be asked: Connection was refused by other side.",
    ),
    (
        CannotListenError("", 0, OSError(24, "full")),
        "the name server cannot be asked: full",
    ),
]


class DnsTestCase(SynchronousTestCase):
    """Look-ups that ask a DNS client for everything."""

    def setUp(self) -> None:
        """Make the look-ups."""
        self.make_lookups(None)

    def make_lookups(self, hosts: IHostnameResolver | None) -> None:
        """Make look-ups over a DNS client, and maybe the system."""
        self.clock = Clock()
        self.dns = ScriptedClient()
        self.recorded: list[Exchange] = []
        exchanges = Exchanges(self.clock)
        exchanges.record = self.recorded.append
        self.lookups = DnsLookups(
            self.dns.resolver, hosts, self.clock, exchanges=exchanges
        )

    def assert_failed(
        self, asked: Deferred[Any], said: str, reason: str = "no_answer"
    ) -> None:
        """See that a look-up failed, and what is said of it."""
        problem = self.failureResultOf(asked, LookupFailed).value
        assert isinstance(problem, LookupFailed)
        assert (str(problem), problem.reason) == (said, reason)


class ExchangeTests(DnsTestCase):
    """What a record has of questions."""

    def told(self, answer: Answers | Exception) -> Exchange:
        """Ask for SRV records, and get this after half a second; what is recorded."""
        asked = start(self.lookups.srv(SERVICE, OURSELVES))
        self.clock.advance(0.5)
        self.dns.answer("SRV", SERVICE, answer)
        self.successResultOf(asked)
        [exchange] = self.recorded
        assert (exchange.kind, exchange.direction) == ("dns", "out")
        assert (exchange.method, exchange.path) == ("SRV", SERVICE)
        assert exchange.seconds == 0.5
        return exchange

    def test_answer(self) -> None:
        """A question is recorded with its answer; a kept answer is no question."""
        exchange = self.told(
            [srv("a.test", ttl=60), srv("b.test", numbers=(7, 2, 3), ttl=60)]
        )
        assert exchange.verdict == "1 2 3 a.test, 7 2 3 b.test"
        assert exchange.reason is None
        self.successResultOf(start(self.lookups.srv(SERVICE, OURSELVES)))
        assert self.recorded == [exchange]

    def test_no_records(self) -> None:
        """An answer without records says so."""
        assert self.told(no_such_name()).verdict == "no such record"

    def test_failure(self) -> None:
        """A question without an answer has the reason."""
        asked = start(self.lookups.srv(SERVICE, OURSELVES))
        self.dns.answer("SRV", SERVICE, DNSServerError("SERVFAIL"))
        self.failureResultOf(asked, LookupFailed)
        [exchange] = self.recorded
        assert exchange.reason == "no_answer"
        assert exchange.error == "the name server answers SERVFAIL"

    def test_system(self) -> None:
        """A look-up by the system is recorded as such."""
        hosts = System()
        self.make_lookups(hosts)
        asked = start(self.lookups.addresses("a.test", OURSELVES))
        hosts.find(IPv4Address("TCP", "192.0.2.1", 0))
        self.successResultOf(asked)
        [exchange] = self.recorded
        assert (exchange.path, exchange.via) == ("a.test", "system")
        assert exchange.verdict == "192.0.2.1"

    def test_silent_system(self) -> None:
        """A look-up that the system does not end has the reason."""
        self.make_lookups(System())
        asked = start(self.lookups.addresses("a.test", OURSELVES))
        self.clock.advance(10)
        self.failureResultOf(asked, LookupFailed)
        [exchange] = self.recorded
        assert (exchange.reason, exchange.verdict) == ("no_answer", None)


class SrvTests(DnsTestCase):
    """SRV records."""

    def records(self, answer: Answers) -> list[SrvRecord]:
        """The SRV records that an answer gives."""
        asked = start(self.lookups.srv(SERVICE, OURSELVES))
        self.assertNoResult(asked)
        self.dns.answer("SRV", SERVICE, answer)
        return self.successResultOf(asked)

    def test_records(self) -> None:
        """Each record's priority, weight, port and target are read."""
        assert self.records(
            [srv("a.test", numbers=(10, 0, 65535)), srv("b_1.test")]
        ) == [SrvRecord(1, 2, 3, "b_1.test"), SrvRecord(10, 0, 65535, "a.test")]

    def test_hundred_records(self) -> None:
        """Of very many records a hundred are taken, the first ones by priority."""
        answer = [srv(f"s{n}.test", numbers=(999 - n, 0, 1)) for n in range(999)]
        found = self.records(answer)
        assert [record.priority for record in found] == [*range(1, 101)]

    def test_no_records(self) -> None:
        """An empty answer means that there are none."""
        assert self.records([]) == []

    def test_no_such_name(self) -> None:
        """NXDOMAIN means that there are none, also without the message it came in."""
        for problem in (no_such_name(), DNSNameError()):
            asked = start(self.lookups.srv(SERVICE, OURSELVES))
            self.dns.answer("SRV", SERVICE, problem)
            assert self.successResultOf(asked) == []

    def test_no_answer(self) -> None:
        """Whatever else a name server says, or does not say, is no certain answer."""
        for problem, said in NO_ANSWERS:
            with self.subTest(said):
                asked = start(self.lookups.srv(SERVICE, OURSELVES))
                self.dns.answer("SRV", SERVICE, problem)
                self.assert_failed(asked, said)

    def test_name_that_cannot_be_asked_for(self) -> None:
        """A name that DNS cannot have is a look-up that fails."""
        asked = start(self.lookups.srv("a" * 64 + ".test", OURSELVES))
        said = str(self.failureResultOf(asked, LookupFailed).value)
        assert said.startswith("the name server cannot be asked: ")

    def test_root_as_target(self) -> None:
        """The target of a service that is decidedly not there is a dot."""
        assert self.records([srv(b"", numbers=(0, 0, 0))]) == [SrvRecord(0, 0, 0, ".")]

    def test_records_of_other_names(self) -> None:
        """Records that were not asked for are ignored."""
        assert self.records([srv("a.test", "_matrix._tcp.evil.test")]) == []

    def test_records_of_other_types(self) -> None:
        """Records of another type at the same name are ignored."""
        assert self.records([a("192.0.2.1", SERVICE)]) == []

    def test_name_in_other_letters(self) -> None:
        """The case of a name in an answer does not matter."""
        assert len(self.records([srv("a.test", SERVICE.upper())])) == 1
        asked = start(self.lookups.srv(SERVICE.upper(), OURSELVES))
        self.dns.answer("SRV", SERVICE.upper(), [srv("a.test", SERVICE)])
        assert len(self.successResultOf(asked)) == 1

    def test_alias(self) -> None:
        """The records of a service that is an alias are those of what it stands for."""
        answer = [cname(SERVICE, "_x.b.test"), srv("a.test", "_x.b.test")]
        assert [r.target for r in self.records(answer)] == ["a.test"]

    def test_target_of_odd_bytes(self) -> None:
        """A target may hold any byte: it is told as text that is no host's name."""
        targets = [
            (b"a b.test", "a b.test"),
            (b"a.test\n", "a.test\n"),
            (b"\x1b[31mred.test", "\x1b[31mred.test"),
            (b"caf\xc3\xa9.test", "caf\\xc3\\xa9.test"),
            (b"\xff.test", "\\xff.test"),
            (b"\0", "\0"),
        ]
        for target, text in targets:
            with self.subTest(target):
                good, odd = self.records([srv("good.test"), srv(target)])
                assert (good.target, odd.target) == ("good.test", text)
                assert good.problem is None
                assert odd.problem == "the target is not a host name"
                assert str(odd).isprintable()

    def test_alias_of_odd_bytes(self) -> None:
        """Aliases of any bytes are followed."""
        answer = [cname(SERVICE, b"\xff.\x1b"), srv("a.test", b"\xff.\x1b")]
        assert [r.target for r in self.records(answer)] == ["a.test"]

    def test_owner_that_is_no_text(self) -> None:
        """Records whose owner is not ASCII are of another name."""
        assert self.records([srv("a.test", b"\xff.test")]) == []


class AddressTests(DnsTestCase):
    """Addresses by DNS."""

    def ask(self, host: str = "peer.test") -> Deferred[list[str]]:
        """Ask for a host's addresses."""
        return start(self.lookups.addresses(host, OURSELVES))

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
        assert set(self.dns.asked) == {("A", "peer.test"), ("AAAA", "peer.test")}

    def test_both_families(self) -> None:
        """All addresses of both families are found."""
        asked = self.answer(
            [a("192.0.2.1"), a("192.0.2.2")], [aaaa("2001:DB8:0::1"), aaaa("::1")]
        )
        found: list[str] = self.successResultOf(asked)
        assert set(found) == {"192.0.2.1", "192.0.2.2", "2001:db8::1", "::1"}

    def test_one_family_fails(self) -> None:
        """What is found in one family is used where the other look-up fails."""
        for problem in (DNSServerError(), defer.TimeoutError(), no_such_name()):
            found = self.answer(v4=[a("192.0.2.1")], v6=problem)
            assert self.successResultOf(found) == ["192.0.2.1"]
            found = self.answer(v4=problem, v6=[aaaa("2001:db8::1")])
            assert self.successResultOf(found) == ["2001:db8::1"]

    def test_both_families_fail(self) -> None:
        """Where both look-ups fail, the host's are not known."""
        asked = self.answer(DNSServerError(), DNSServerError())
        self.assert_failed(asked, "the name server answers SERVFAIL")

    def test_one_fails_and_the_other_is_empty(self) -> None:
        """An empty answer beside a failed look-up is not a host without addresses."""
        asked = self.answer(v4=[], v6=DNSServerError())
        self.assert_failed(asked, "the name server answers SERVFAIL")

    def test_none(self) -> None:
        """A host without an address cannot be reached."""
        for nothing in ((), no_such_name()):
            asked = self.answer(nothing, nothing)
            self.assert_failed(
                asked, "peer.test has no address (A or AAAA record)", "no_address"
            )

    def test_aliases_are_followed(self) -> None:
        """Eight aliases are followed, in whatever order they are told."""
        answer = [*chain(8), a("192.0.2.1", "END.test")]
        capitals = [cname("peer.test", "END.test"), a("192.0.2.1", "end.test")]
        for records in (answer, answer[::-1], capitals):
            assert self.successResultOf(self.answer(v4=records)) == ["192.0.2.1"]

    def test_alias_to_nothing(self) -> None:
        """An alias for a name without an address gives none."""
        asked = self.answer(v4=chain(2), v6=chain(2))
        self.assert_failed(
            asked, "peer.test has no address (A or AAAA record)", "no_address"
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
            said = "more than 8 aliases lead away from peer.test"
            self.assert_failed(asked, said, "too_many_aliases")

    def test_addresses_of_other_names(self) -> None:
        """An address of a name that no alias leads to is ignored."""
        asked = self.answer(v4=[a("192.0.2.1"), a("192.0.2.2", "evil.test")])
        assert self.successResultOf(asked) == ["192.0.2.1"]

    def test_literals(self) -> None:
        """An address is its own address, in its shortest form, without a query."""
        literals = [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::1", "::1"),
        ]
        for literal, address in literals:
            assert self.successResultOf(self.ask(literal)) == [address]
        assert self.dns.asked == {}

    def test_who_asks_may_give_up(self) -> None:
        """A look-up that is cancelled is cancelled, and leaves no error behind."""
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, defer.CancelledError)
        for kind in ("A", "AAAA"):
            self.dns.answer(kind, "peer.test", DNSServerError())
        assert self.dns.given_up == []


class SystemTests(DnsTestCase):
    """Addresses by the system's resolver."""

    def setUp(self) -> None:
        """Make look-ups that ask the system."""
        self.system = System()
        self.make_lookups(self.system)

    def test_addresses(self) -> None:
        """The system is asked for addresses, and no name server is."""
        asked = start(self.lookups.addresses("peer.test", OURSELVES))
        self.assertNoResult(asked)
        assert [host for host, _ in self.system.asked] == ["peer.test"]
        self.system.find(
            IPv4Address("TCP", "192.0.2.1", 0),
            IPv6Address("TCP", "2001:db8::1", 0),
            HostnameAddress(b"other.test", 0),
        )
        assert self.successResultOf(asked) == ["192.0.2.1", "2001:db8::1"]
        assert self.dns.asked == {}

    def test_none(self) -> None:
        """A host that the system does not find cannot be reached."""
        asked = start(self.lookups.addresses("peer.test", OURSELVES))
        self.system.find()
        self.assert_failed(
            asked, "peer.test has no address (A or AAAA record)", "no_address"
        )

    def test_no_answer_in_time(self) -> None:
        """The system is not waited for without end, and its answer may come late."""
        asked = start(self.lookups.addresses("peer.test", OURSELVES))
        self.clock.advance(9.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assert_failed(
            asked, "the system found no address of peer.test in 10 seconds"
        )
        self.system.find(IPv4Address("TCP", "192.0.2.1", 0))

    def test_a_new_client_is_not_kept_waiting(self) -> None:
        """The system is asked for a newcomer's host before those of a crowd."""
        asked = [
            start(self.lookups.addresses(f"h{n}.test", Cause("192.0.2.1")))
            for n in range(100)
        ]
        start(self.lookups.addresses("a.test", Cause("192.0.2.2")))
        assert [host for host, _ in self.system.asked][-1] == "a.test"
        failure = self.failureResultOf(asked[0], OverBudget)
        assert "with smaller shares" in str(failure.value)

    def test_records(self) -> None:
        """SRV records and aliases are asked for by DNS all the same."""
        start(self.lookups.srv(SERVICE, OURSELVES))
        start(self.lookups.alias("peer.test", OURSELVES))
        assert list(self.dns.asked) == [("SRV", SERVICE), ("CNAME", "peer.test")]

    def test_who_asks_may_give_up(self) -> None:
        """A look-up that is cancelled is cancelled, and leaves no error behind."""
        asked = start(self.lookups.addresses("peer.test", OURSELVES))
        asked.cancel()
        self.failureResultOf(asked, defer.CancelledError)
        self.system.find(IPv4Address("TCP", "192.0.2.1", 0))


class AliasTests(DnsTestCase):
    """Whether a host is an alias."""

    def ask(self, answer: Answers | Exception) -> Deferred[str | None]:
        """Ask what `peer.test` is an alias of, and answer."""
        asked = start(self.lookups.alias("peer.test", OURSELVES))
        self.assertNoResult(asked)
        self.dns.answer("CNAME", "peer.test", answer)
        return asked

    def test_alias(self) -> None:
        """The name that an alias stands for is told, and not what that stands for."""
        for answer, target in (
            ([cname("peer.test", "a.test")], "a.test"),
            (chain(3), "a1.test"),
            ([cname("peer.test", "a.test"), cname("peer.test", "b.test")], "a.test"),
        ):
            assert self.successResultOf(self.ask(answer)) == target

    def test_no_alias(self) -> None:
        """A host without a CNAME record is no alias, nor is one that is not there."""
        other = [cname("other.test", "a.test")]
        for answer in ([], [a("192.0.2.1")], other, no_such_name(), DNSNameError()):
            assert self.successResultOf(self.ask(answer)) is None

    def test_alias_of_odd_bytes(self) -> None:
        """A name may hold any byte; it is told as text."""
        asked = self.ask([cname("peer.test", b"\xff.test")])
        assert self.successResultOf(asked) == "\\xff.test"

    def test_failure(self) -> None:
        """What is not known is not told."""
        self.assert_failed(
            self.ask(DNSServerError()), "the name server answers SERVFAIL"
        )


Ask = Callable[[DnsLookups], Coroutine[Deferred[Any], Any, object]]

# A question by record type and name, and who asks it.
QUESTIONS: list[tuple[tuple[str, str], Ask]] = [
    (("SRV", SERVICE), lambda lookups: lookups.srv(SERVICE, OURSELVES)),
    (("CNAME", "peer.test"), lambda lookups: lookups.alias("peer.test", OURSELVES)),
    (("A", "peer.test"), lambda lookups: lookups.addresses("peer.test", OURSELVES)),
]

# For how long "no such record" holds: its SOA records' TTL and minimum; seconds.
NEGATIVES: list[tuple[list[tuple[int, int]], float]] = [
    ([], 0),
    ([(60, 120)], 60),
    ([(120, 60)], 60),
    ([(86400, 86400)], 300),
    ([(300, 300)], 300),
    ([(60, 60), (120, 30)], 30),
    ([(0, 60)], 0),
    ([(60, 0)], 0),
]


class KeepingTests(DnsTestCase):
    """For how long an answer is kept."""

    def assert_kept(self, seconds: float) -> None:
        """See that the answer to the one question is kept for as long as this."""
        if seconds:
            self.clock.advance(seconds - 0.1)
            self.successResultOf(start(self.lookups.srv(SERVICE, OURSELVES)))
            assert self.dns.asked == {}
            self.clock.advance(0.1)
        self.assertNoResult(start(self.lookups.srv(SERVICE, OURSELVES)))
        assert list(self.dns.asked) == [("SRV", SERVICE)]

    def answer(self, answer: Answers | Exception, *authority: dns.RRHeader) -> None:
        """Ask for the service, and answer."""
        asked = start(self.lookups.srv(SERVICE, OURSELVES))
        self.dns.answer("SRV", SERVICE, answer, *authority)
        self.successResultOf(asked)

    def test_time_to_live(self) -> None:
        """An answer is kept as long as the shortest of its records, a day at most."""
        for ttls, seconds in ([60], 60), ([0], 0), ([2**31 - 1], 86400), ([90, 60], 60):
            with self.subTest(ttls):
                self.setUp()
                self.answer([srv(f"a{n}.test", ttl=ttl) for n, ttl in enumerate(ttls)])
                self.assert_kept(seconds)

    def test_aliases_live_too(self) -> None:
        """An answer by aliases is kept as long as the shortest of the chain."""
        for ttls in ((60, 120, 120), (120, 60, 120), (120, 120, 60)):
            with self.subTest(ttls):
                self.setUp()
                answer = [
                    cname(SERVICE, "a.test", ttls[0]),
                    cname("a.test", "b.test", ttls[1]),
                    srv("c.test", "b.test", ttl=ttls[2]),
                ]
                self.answer(answer)
                self.assert_kept(60)

    def test_other_records_do_not_count(self) -> None:
        """Records that were not asked for have no say in how long an answer is kept."""
        other = [srv("a.test", "other.test", ttl=1), a("192.0.2.1", SERVICE, ttl=2)]
        self.answer([*other, srv("b.test", ttl=60)])
        self.assert_kept(60)

    def test_no_such_record(self) -> None:
        """That there is nothing is kept as its SOA says, five minutes at most."""
        for pairs, seconds in NEGATIVES:
            with self.subTest(pairs):
                said = [soa(ttl, minimum) for ttl, minimum in pairs]
                self.setUp()
                self.answer([], *said)
                self.assert_kept(seconds)
                self.setUp()
                self.answer(no_such_name(*said))
                self.assert_kept(seconds)

    def test_no_such_name_without_a_message(self) -> None:
        """NXDOMAIN of which nothing else is known is not kept."""
        self.answer(DNSNameError())
        self.assert_kept(0)

    def test_other_authority(self) -> None:
        """Name servers in the place of an SOA record say nothing of time."""
        record = dns.RRHeader(b"test", dns.NS, ttl=60, payload=dns.Record_NS(b"ns"))
        self.answer([], record)
        self.assert_kept(0)

    def test_alias_to_nothing(self) -> None:
        """That an alias leads to nothing is kept as the shorter of both says."""
        for ttl, minimum in ((60, 120), (120, 60)):
            with self.subTest(ttl):
                self.setUp()
                self.answer([cname(SERVICE, "a.test", ttl)], soa(300, minimum))
                self.assert_kept(60)

    def test_failure_of_one_family(self) -> None:
        """What is known of one family of addresses is not asked for again."""
        asked = start(self.lookups.addresses("peer.test", OURSELVES))
        self.dns.answer("A", "peer.test", [a("192.0.2.1", ttl=60)])
        self.dns.answer("AAAA", "peer.test", DNSServerError())
        self.successResultOf(asked)
        start(self.lookups.addresses("peer.test", OURSELVES))
        assert list(self.dns.asked) == [("AAAA", "peer.test")]

    def test_letters(self) -> None:
        """A name is the same in capital letters."""
        self.answer([srv("a.test", ttl=60)])
        asked = start(self.lookups.srv(SERVICE.upper(), OURSELVES))
        assert len(self.successResultOf(asked)) == 1

    def test_types_are_apart(self) -> None:
        """An answer to one question is none to another one about the same name."""
        asked = start(self.lookups.srv("peer.test", OURSELVES))
        answer = [srv("a.test", "peer.test", ttl=60)]
        self.dns.answer("SRV", "peer.test", answer)
        self.successResultOf(asked)
        start(self.lookups.addresses("peer.test", OURSELVES))
        start(self.lookups.alias("peer.test", OURSELVES))
        assert {kind for kind, _ in self.dns.asked} == {"A", "AAAA", "CNAME"}


class LimitTests(DnsTestCase):
    """How much is asked at once, and for how long."""

    def test_who_asks_at_once(self) -> None:
        """Ten equal look-ups at once cost one question."""
        for question, ask in QUESTIONS:
            with self.subTest(question):
                self.setUp()
                asked = [start(ask(self.lookups)) for _ in range(10)]
                # A second one for the same would not have been let pass.
                assert question in self.dns.asked
                for kind, name in list(self.dns.asked):
                    answer = [a("192.0.2.1")] if kind == "A" else []
                    self.dns.answer(kind, name, answer)
                for each in asked:
                    self.successResultOf(each)

    def test_answer_for_nobody(self) -> None:
        """An answer is kept though no caller waits for it any more."""
        start(self.lookups.srv(SERVICE, OURSELVES)).addErrback(lambda _: None).cancel()
        self.dns.answer("SRV", SERVICE, [srv("a.test", ttl=60)])
        asked = start(self.lookups.srv(SERVICE, OURSELVES))
        assert len(self.successResultOf(asked)) == 1

    def test_ten_seconds(self) -> None:
        """A question that is not answered within ten seconds is given up."""
        for question, ask in QUESTIONS:
            with self.subTest(question):
                self.setUp()
                asked = start(ask(self.lookups))
                self.clock.advance(9.9)
                self.assertNoResult(asked)
                assert self.dns.given_up == []
                self.clock.advance(0.1)
                self.assert_failed(asked, "the name server did not answer in time")
                assert question in self.dns.given_up
                assert self.dns.asked == {}

    def ask_many(self, number: int) -> list[Deferred[list[SrvRecord]]]:
        """Ask for so many services at once."""
        return [
            start(self.lookups.srv(f"{each}.test", OURSELVES)) for each in range(number)
        ]

    def assert_asked(self, begin: int, end: int) -> None:
        """See which services are being asked for."""
        assert list(self.dns.asked) == [
            ("SRV", f"{number}.test") for number in range(begin, end)
        ]

    def test_hundred_questions(self) -> None:
        """Of many questions a hundred are asked at once, and others in their turn."""
        asked = self.ask_many(103)
        self.assert_asked(0, 100)
        answers: list[Answers | Exception] = [[], no_such_name(), DNSServerError()]
        for number, answer in enumerate(answers):
            self.dns.answer("SRV", f"{number}.test", answer)
            self.assert_asked(number + 1, number + 101)
        assert self.successResultOf(asked[0]) == []
        assert self.successResultOf(asked[1]) == []
        self.assert_failed(asked[2], "the name server answers SERVFAIL")
        self.dns.answer("SRV", "102.test", [srv("a.test", "102.test")])
        assert len(self.successResultOf(asked[102])) == 1

    def crowd(self) -> list[Deferred[list[SrvRecord]]]:
        """Let one client want a hundred questions asked, which none answers."""
        asked = []
        for number in range(100):
            question = self.lookups.srv(f"s.h{number}.test", Cause("192.0.2.1"))
            asked.append(start(question).addErrback(lambda f: f.trap(OverBudget)))
        return asked

    def test_a_new_client_is_not_kept_waiting(self) -> None:
        """A question of a client that asks for little goes before one of a crowd."""
        asked = self.crowd()
        question = start(self.lookups.srv("a.test", Cause("192.0.2.2")))
        self.dns.answer("SRV", "a.test", [srv("b.test", "a.test")])
        assert len(self.successResultOf(question)) == 1
        assert self.dns.given_up == [("SRV", "s.h0.test")]
        self.assertIs(self.successResultOf(asked[0]), OverBudget)

    def test_one_kind_of_addresses_is_enough(self) -> None:
        """Where the question for IPv4 gave way, the answer about IPv6 counts."""
        run = self.lookups.shares.run

        async def give_way(key: object, claim: Claim, work: Any) -> object:
            if key == ("a.test", dns.A):
                raise GaveWay("crowd")
            return await run(cast("Any", key), claim, work)

        self.lookups.shares.run = give_way  # type: ignore[method-assign,assignment]
        asked = start(self.lookups.addresses("a.test", Cause("192.0.2.2")))
        self.dns.answer("AAAA", "a.test", [aaaa("2001:db8::1", "a.test")])
        assert self.successResultOf(asked) == ["2001:db8::1"]
        asked = start(self.lookups.addresses("b.test", Cause("192.0.2.2")))
        self.dns.answer("AAAA", "b.test", [])
        self.dns.answer("A", "b.test", [a("192.0.2.9", "b.test")])
        assert self.successResultOf(asked) == ["192.0.2.9"]

    def test_who_wants_the_same_brings_its_share(self) -> None:
        """A question that waits in a crowd goes first when another client has it."""
        self.crowd()
        for client in "192.0.2.1", "192.0.2.2":
            question = self.lookups.srv("a.test", Cause(client))
            start(question).addErrback(lambda f: f.trap(OverBudget))
        assert ("SRV", "a.test") in self.dns.asked

    def test_questions_about_one_domain_are_one_share(self) -> None:
        """Names of one domain are a crowd, whichever clients ask for them."""
        for number in range(100):
            cause = Cause(f"192.0.2.{number}")
            start(self.lookups.srv(f"h{number}.evil.test", cause)).addErrback(
                lambda f: f.trap(OverBudget)
            )
        start(self.lookups.srv("a.test", Cause("203.0.113.1")))
        assert ("SRV", "a.test") in self.dns.asked

    def test_time_begins_with_the_question(self) -> None:
        """A question that had to wait for its turn has its whole time."""
        asked = self.ask_many(101)
        self.clock.advance(10)
        for each in asked[:100]:
            self.assert_failed(each, "the name server did not answer in time")
        self.assert_asked(100, 101)
        self.clock.advance(9.9)
        self.assertNoResult(asked[100])
        self.clock.advance(0.1)
        self.assert_failed(asked[100], "the name server did not answer in time")
