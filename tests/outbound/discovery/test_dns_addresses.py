"""The addresses of a host, by DNS or by the system's resolver."""

from twisted.internet import defer
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.names.error import DNSServerError

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.transport.budget import OverBudget
from tests.support.dns_lookups import SERVICE, DnsTestCase, System, chain, no_such_name
from tests.support.dns_records import Answers, a, aaaa, cname
from tests.support.memory_tls_servers import start


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
