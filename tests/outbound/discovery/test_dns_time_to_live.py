"""For how long an answer of DNS is kept."""

from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError

from homeserver.net.cause import OURSELVES
from tests.support.dns_lookups import SERVICE, DnsTestCase, no_such_name
from tests.support.dns_records import Answers, a, cname, soa, srv
from tests.support.memory_tls_servers import start

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
