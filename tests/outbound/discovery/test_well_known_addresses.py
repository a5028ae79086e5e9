"""Which address of a website is asked for its document, with which certificate."""

from collections.abc import Callable

from cryptography import x509
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue, issue_for
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import CA, GOOD, SELF_SIGNED, Names
from tests.support.well_known_websites import DOCUMENT, WWW, WellKnownTestCase, redirect

CLIENT = Cause("203.0.113.1")


class ReachTests(WellKnownTestCase):
    """Whose document it is."""

    def test_certificates(self) -> None:
        """A host without a trusted certificate for it is asked nothing."""
        failed = "192.0.2.1: TLS handshake failed: the certificate is "
        cases = [
            (SELF_SIGNED, failed + "self-signed and not trusted"),
            (WWW, failed + "not for peer.test but for 'www.test'"),
            (issue_for("peer.test", issue_for("other", None)), None),
            (issue("peer.test", None, issuer=CA), None),
            (
                issue("a", [x509.DNSName("peer.test")], issuer=CA, days=(-2, -1)),
                "192.0.2.1: TLS handshake failed: the certificate has expired",
            ),
        ]
        for issued, reason in cases:
            with self.subTest(reason):
                self.setUp()
                asked = self.ask()
                wire = self.net.accept(issued)
                assert wire.peer.is_gone
                assert wire.peer.received == b""
                said = self.reason(asked)
                assert "TLS handshake failed" in said
                assert said == (reason or said)

    def test_certificate_that_the_handshake_let_pass(self) -> None:
        """It is looked at all the same, before anything is asked."""
        names = Names()
        names.hosts["peer.test"] = ["192.0.2.1"]
        self.make_well_known(names, lambda aim: replace(aim, must_be_trusted=False))
        asked = self.ask()
        wire = self.net.accept(SELF_SIGNED)
        assert wire.peer.received == b""
        said = "the certificate is self-signed and not trusted"
        assert self.reason(asked) == said
        self.assert_ended(wire)

    def test_refused_address(self) -> None:
        """An address that is not connected to is not connected to."""
        assert (
            self.reason(self.ask("inside.test"))
            == "10.0.0.1 is in the refused range 10.0.0.0/8; to allow it, set "
            'allow = ["10.0.0.1"] in [network]'
        )

    def test_no_address(self) -> None:
        """A host that has no address has no document."""
        assert self.reason(self.ask("lost.test")) == "lost.test has no address"

    def test_nobody_listens(self) -> None:
        """A host without a website has no document."""
        asked = self.ask()
        self.net.refuse()
        assert (
            self.reason(asked)
            == "cannot connect: Connection was refused by other side."
        )


class AddressTests(WellKnownTestCase):
    """A host with two addresses."""

    def setUp(self) -> None:
        """Have them."""
        super().setUp()
        self.hosts["peer.test"] = ["192.0.2.1", "192.0.2.2"]

    def ask_for(self, cause: Cause) -> Deferred[ServerName]:
        """Ask for a client."""
        return start(self.well_known.delegation("peer.test", cause))

    def test_second_address(self) -> None:
        """Where the first address gives no answer, the second one is asked."""

        def leave(*, is_silent: bool) -> None:
            self.net.accept(GOOD, is_silent=is_silent)
            self.net.clock.advance(4)

        cases: dict[str, Callable[[], object]] = {
            "refuses": lambda: self.net.refuse(None),
            "another server": lambda: self.net.accept(issue_for("other.test", CA)),
            "hangs up": lambda: self.net.accept(GOOD).hang_up(),
            "no HTTP": lambda: self.net.accept(GOOD).say(b"220 smtp\r\n\r\n"),
            "no handshake": lambda: leave(is_silent=True),
            "silent": lambda: leave(is_silent=False),
        }
        for case, happen in cases.items():
            with self.subTest(case):
                self.setUp()
                asked = self.ask()
                happen()
                assert self.net.dialled == [("192.0.2.2", 443)]
                self.net.accept(GOOD).say(DOCUMENT)
                assert self.found(asked) == "b.test:7"

    def test_both_fail(self) -> None:
        """Where both fail, the last reason is told."""
        asked = self.ask()
        self.net.accept(GOOD).hang_up()
        self.net.refuse()
        assert "cannot connect" in self.reason(asked)

    def test_an_answer_is_an_answer(self) -> None:
        """Where the first address answers that there is no document, that holds."""
        asked = self.ask()
        self.net.accept(GOOD).say(ok(b"{}", status="404 Not Found"))
        assert self.reason(asked) == "status 404"

    def test_two_connections_for_a_client(self) -> None:
        """For a client two addresses are tried; for ourselves all, at once after it."""
        self.hosts["peer.test"] = [f"192.0.2.{number}" for number in range(1, 5)]
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).hang_up()
        self.net.accept(GOOD).hang_up()
        self.reason(asked)
        again = self.ask_for(CLIENT)
        self.reason(again)  # kept
        ours = self.ask()
        for _ in range(3):
            self.net.accept(GOOD).hang_up()
        assert self.net.dialled == [("192.0.2.4", 443)]
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert self.found(ours) == "b.test"
        assert self.found(self.ask_for(CLIENT)) == "b.test"

    def test_we_wait_for_what_a_client_causes(self) -> None:
        """A look-up under way for a client serves us, unless it fails."""
        for is_good in (True, False):
            self.setUp()
            theirs, ours = self.ask_for(CLIENT), self.ask()
            assert len(self.net.dialled) == 1
            if not is_good:
                self.net.accept(GOOD).hang_up()
                self.net.accept(GOOD).hang_up()
                self.failureResultOf(theirs, LookupFailed)
                self.assertNoResult(ours)
                assert self.net.dialled == [("192.0.2.1", 443)]
            self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
            assert self.found(ours) == "b.test"

    def test_a_bound_on_clients_does_not_stop_us(self) -> None:
        """A look-up under way for a client that a bound ends goes on for us."""
        theirs, ours = self.ask_for(CLIENT), self.ask()
        for _ in range(9):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        self.net.accept(GOOD).hang_up()
        self.net.clock.pump([0.3] * 3)
        self.failureResultOf(theirs, OverBudget)
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert str(self.successResultOf(ours)) == "b.test"

    def test_an_answer_to_a_client_is_ours_too(self) -> None:
        """That there is no document is true for every cause of a look-up."""
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(ok(b"{}", status="404 Not Found"))
        self.reason(asked)
        assert self.reason(self.ask()) == "status 404"

    def test_over_budget(self) -> None:
        """What a bound of ours forbids is no answer, and not remembered."""
        for _ in range(10):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        for _ in range(2):
            asked = self.ask_for(CLIENT)
            self.net.clock.pump([0.3] * 3)  # in which it looks for other addresses
            self.failureResultOf(asked, OverBudget)
        assert self.net.dialled == []
        self.net.clock.advance(60)
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        assert self.found(asked) == "b.test"

    def test_redirects_count(self) -> None:
        """Where a website redirects, all counts as the name that was asked for."""
        self.hosts["peer.test"] = self.hosts["www.test"] = ["192.0.2.1"]
        asked = self.ask_for(CLIENT)
        self.net.accept(GOOD).say(redirect("https://peer.test/2"))
        self.net.accept(GOOD).say(redirect("https://peer.test/3"))
        self.net.accept(GOOD).say(ok(b'{"m.server":"b.test"}'))
        self.found(asked)
        for _ in range(7):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
        with self.assertRaises(OverBudget):
            self.budgets.step(CLIENT, "peer.test").take("192.0.2.1")
