"""Routes that failed a moment ago are tried last."""

from twisted.internet.defer import CancelledError

from homeserver.net.cause import OURSELVES
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.discovery import LookupFailed, Resolution, Route
from homeserver.protocol.identifiers import ServerName
from tests.support.connecting import WRONG, Connecting, ConnectorTestCase
from tests.support.memory_tls_servers import start
from tests.support.outbound_stack import GOOD, PEER, route


def hosts(*numbers: int) -> list[str]:
    """Addresses in this order."""
    return [f"192.0.2.{number}" for number in numbers]


FIRST, SECOND, THIRD = map(route, hosts(1, 2, 3))


class AvoidedTests(ConnectorTestCase):
    """Routes that failed a moment ago are tried last."""

    def reach(self, *routes: Route, name: ServerName = PEER) -> Connecting:
        """Connect to a server by these routes."""
        return start(
            self.stack.connector.connect(Resolution(name, [], routes), OURSELVES)
        )

    def tried(self, *routes: Route, name: ServerName = PEER) -> list[str]:
        """The hosts in the order in which they are tried; all fail, and at once."""
        connecting = self.reach(*routes, name=name)
        hosts = []
        while self.net.dialled:
            hosts += [host for host, _ in self.net.dialled]
            self.net.accept(WRONG)
        self.failureResultOf(connecting, Unreachable)
        return hosts

    def first(self, *routes: Route, name: ServerName = PEER) -> str:
        """The host that is tried first, where the caller gives up at once."""
        connecting = self.reach(*routes, name=name)
        [(host, _)] = self.net.dialled
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.net.clock.tcpClients.clear()
        self.net.clock.connectors.clear()
        return host

    def test_last(self) -> None:
        """A route that failed is tried after the others, which keep their order."""
        self.tried(FIRST)
        assert self.tried(FIRST, SECOND, THIRD) == hosts(2, 3, 1)

    def test_all_failed(self) -> None:
        """Where all routes failed they are tried again in their own order."""
        self.tried(THIRD, SECOND)
        self.net.clock.advance(1)
        self.tried(FIRST)
        assert self.tried(FIRST, SECOND, THIRD) == hosts(1, 2, 3)

    def test_priorities(self) -> None:
        """A route that failed is tried after those of every other priority."""
        routes = [
            Route(f"192.0.2.{number}", 1, "peer.test", "peer.test", priority, 0)
            for number, priority in ((1, 10), (2, 10), (3, 20))
        ]
        self.tried(*routes[:2])
        assert self.tried(*routes) == hosts(3, 1, 2)

    def test_last_resort(self) -> None:
        """A route that failed is what is left when the others fail too."""
        self.tried(FIRST)
        connecting = self.reach(FIRST, SECOND)
        self.net.accept(WRONG)
        self.net.accept(GOOD)
        assert self.link(connecting).route == FIRST

    def test_one_minute(self) -> None:
        """A minute after it failed last, the route is tried in its turn."""
        self.tried(FIRST)
        self.net.clock.advance(30)
        self.tried(FIRST)
        self.net.clock.advance(59.9)
        assert self.first(FIRST, SECOND) == "192.0.2.2"
        self.net.clock.advance(0.1)
        assert self.first(FIRST, SECOND) == "192.0.2.1"

    def test_forgotten(self) -> None:
        """The routes to a server that is forgotten are tried in their own order."""
        other = ServerName.parse("other.test")
        self.tried(FIRST)
        self.tried(FIRST, name=other)
        assert self.stack.connector.forget(PEER)
        assert not self.stack.connector.forget(PEER)
        assert self.first(FIRST, SECOND) == "192.0.2.1"
        assert self.first(FIRST, SECOND, name=other) == "192.0.2.2"
        self.stack.connector.forget_all()
        assert self.first(FIRST, SECOND, name=other) == "192.0.2.1"

    def test_success(self) -> None:
        """A route that leads to the server again is tried in its turn again."""
        self.tried(FIRST)
        connecting = self.reach(FIRST)
        self.net.accept(GOOD)
        self.link(connecting)
        assert self.first(FIRST, SECOND) == "192.0.2.1"

    def test_success_elsewhere(self) -> None:
        """That another route leads to the server is no news of one that failed."""
        connecting = self.reach(FIRST, SECOND)
        self.net.accept(WRONG)
        self.net.accept(GOOD)
        self.link(connecting)
        assert self.first(FIRST, SECOND) == "192.0.2.2"

    def test_other_server(self) -> None:
        """A route that failed for one server is none that failed for another one."""
        self.tried(FIRST)
        other = ServerName.parse("other.test")
        assert self.first(FIRST, SECOND, name=other) == "192.0.2.1"
        assert self.first(FIRST, SECOND) == "192.0.2.2"

    def test_other_port(self) -> None:
        """A route to another port of the same host is another route."""
        self.tried(route("192.0.2.1", 1))
        assert self.first(route("192.0.2.1", 2), SECOND) == "192.0.2.1"
        assert self.first(route("192.0.2.1", 1), SECOND) == "192.0.2.2"

    def test_every_failure(self) -> None:
        """A route fails where its host has no address, or none that may be used."""
        self.make_stack(refuse=["10.0.0.0/8"])
        self.hosts["a.test"] = LookupFailed("a.test has no address")
        self.hosts["b.test"] = ["10.1.2.3"]
        self.failureResultOf(self.reach(route("a.test"), route("b.test")), Unreachable)
        connecting = self.reach(FIRST)
        self.net.refuse()
        self.failureResultOf(connecting, Unreachable)
        for host in ("a.test", "b.test"):
            self.hosts[host] = ["192.0.2.9"]
            assert self.first(route(host), SECOND) == "192.0.2.2"
        assert self.first(FIRST, SECOND) == "192.0.2.2"

    def test_who_gives_up(self) -> None:
        """A caller that did not wait is no failure of a route."""
        self.first(FIRST, SECOND)
        assert self.first(FIRST, SECOND) == "192.0.2.1"

    def test_who_gives_up_at_the_second_address(self) -> None:
        """A route whose addresses take all the time is not begun with again."""
        self.hosts["a.test"] = ["192.0.2.7", "192.0.2.8"]
        connecting = self.reach(route("a.test"), SECOND)
        self.net.accept(WRONG)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.net.clock.tcpClients.clear()
        self.net.clock.connectors.clear()
        assert self.first(route("a.test"), SECOND) == "192.0.2.2"

    def test_families_by_turns(self) -> None:
        """Many addresses of one family hide none of the other."""
        self.hosts["a.test"] = [f"2001:db8::{n}" for n in range(1, 9)] + ["192.0.2.9"]
        self.hosts["b.test"] = [f"192.0.2.{n}" for n in range(1, 9)] + ["2001:db8::9"]
        for host in ("a.test", "b.test"):
            found = self.successResultOf(
                start(self.stack.dialer.addresses(host, OURSELVES))
            )
            assert len(found) == 8
            assert found[0].startswith("2001:db8::")
            assert found[1].startswith("192.0.2.")

    def test_ten_thousand_routes(self) -> None:
        """The route that failed first is forgotten where ten thousand others did."""
        routes = [route(f"h{number}.test") for number in range(10_001)]
        # The first one fails again, and so is not the one that failed first.
        for some in (routes[:2], routes[:1], routes[2:]):
            self.hosts.update({each.host: LookupFailed("no") for each in some})
            self.failureResultOf(self.reach(*some), Unreachable)
        self.hosts.update({each.host: ["192.0.2.1"] for each in routes})
        assert self.first(routes[0], SECOND) == "192.0.2.2"
        assert self.first(routes[1], SECOND) == "192.0.2.1"
