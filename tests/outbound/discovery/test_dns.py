"""What name servers say, and what it means: records, none, or no certain answer."""

from twisted.internet import defer
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.error import ConnectionRefusedError as TcpRefused
from twisted.names.error import (
    DNSFormatError,
    DNSNameError,
    DNSNotImplementedError,
    DNSQueryRefusedError,
    DNSQueryTimeoutError,
    DNSServerError,
    DNSUnknownError,
)

from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Exchange
from homeserver.protocol.discovery import LookupFailed, SrvRecord
from tests.support.dns_lookups import SERVICE, DnsTestCase, System, chain, no_such_name
from tests.support.dns_records import Answers, a, cname, srv
from tests.support.memory_tls_servers import start

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
