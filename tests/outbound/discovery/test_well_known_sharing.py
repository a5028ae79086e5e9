"""Look-ups of documents at the same time: equal ones share one, many take turns."""

from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from homeserver.outbound.transport.budget import OverBudget
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import CA, GOOD
from tests.support.well_known_websites import DOCUMENT, NOT_IN_TIME, WellKnownTestCase


class SharingTests(WellKnownTestCase):
    """Many look-ups."""

    def test_who_asks_at_once(self) -> None:
        """Ten look-ups of the same host at once cost one connection."""
        asked = [self.ask(host) for host in ("peer.test", "PEER.test") * 5]
        [_] = self.net.dialled
        self.net.accept(GOOD).say(DOCUMENT)
        assert {self.found(each) for each in asked} == {"b.test:7"}

    def test_failure_is_shared(self) -> None:
        """Each look-up fails with an error of its own."""
        asked = [self.ask() for _ in range(10)]
        self.net.accept(GOOD).say(ok(b"", status="404 Not Found"))
        asked.append(self.ask())
        failures = [self.failureResultOf(each, LookupFailed) for each in asked]
        assert {str(each.value) for each in failures} == {"status 404"}
        # An error that is raised again and again grows a traceback without end.
        assert len({id(each.value) for each in failures}) == 11

    def ask_many(self, number: int) -> list[Deferred[ServerName]]:
        """Ask so many hosts at once."""
        hosts = [f"h{each}.test" for each in range(number)]
        self.hosts.update({host: ["192.0.2.1"] for host in hosts})
        return [self.ask(host) for host in hosts]

    def test_a_new_client_is_not_kept_waiting(self) -> None:
        """A document that gave way to a newcomer's has not failed."""
        hosts = [f"h{number}.test" for number in range(100)]
        self.hosts.update({host: ["192.0.2.1"] for host in [*hosts, "a.test"]})
        asked = [
            start(self.well_known.delegation(host, Cause("192.0.2.1")))
            for host in hosts
        ]
        assert len(self.net.dialled) == 100
        new = start(self.well_known.delegation("a.test", Cause("192.0.2.2")))
        failure = self.failureResultOf(asked[0], OverBudget)
        assert "with smaller shares" in str(failure.value)
        assert not self.well_known.answers.is_kept("h0.test")
        self.assertNoResult(new)
        again = start(self.well_known.delegation("h0.test", Cause("192.0.2.3")))
        self.assertNoResult(again)
        self.failureResultOf(asked[1], OverBudget)

    def test_time_begins_with_the_turn(self) -> None:
        """A host that had to wait for its turn has its whole time."""
        asked = self.ask_many(101)
        self.net.clock.tcpClients.clear()
        self.net.clock.advance(10)
        for each in asked[:100]:
            failure = self.failureResultOf(each, LookupFailed)
            assert str(failure.value) == NOT_IN_TIME
        assert len(self.net.dialled) == 1
        self.net.clock.advance(9.9)
        self.net.accept(issue_for("h100.test", CA)).say(DOCUMENT)
        assert self.found(asked[100]) == "b.test:7"
