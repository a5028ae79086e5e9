"""How many questions of DNS are asked at once, for whom, and for how long."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.names.error import DNSServerError

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.shares import GaveWay
from homeserver.net.waiting_work import Claim
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import SrvRecord
from tests.support.dns_lookups import SERVICE, DnsTestCase, no_such_name
from tests.support.dns_records import Answers, a, aaaa, srv
from tests.support.memory_tls_servers import start

Ask = Callable[[DnsLookups], Coroutine[Deferred[Any], Any, object]]

# A question by record type and name, and who asks it.
QUESTIONS: list[tuple[tuple[str, str], Ask]] = [
    (("SRV", SERVICE), lambda lookups: lookups.srv(SERVICE, OURSELVES)),
    (("CNAME", "peer.test"), lambda lookups: lookups.alias("peer.test", OURSELVES)),
    (("A", "peer.test"), lambda lookups: lookups.addresses("peer.test", OURSELVES)),
]


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
