"""What is tried for a client's request, and not for ourselves."""

from collections.abc import Sequence

from homeserver.net.cause import OURSELVES, Cause
from homeserver.protocol.discovery import Resolution, Route
from homeserver.protocol.identifiers import ServerName
from tests.support.connecting import WRONG, Connecting, ConnectorTestCase
from tests.support.memory_tls_servers import start
from tests.support.outbound_stack import GOOD, PEER, route

CLIENT = Cause("203.0.113.1")


class ClientTests(ConnectorTestCase):
    """What is tried for a client's request, and not for ourselves."""

    def connect_for(self, cause: Cause, routes: Sequence[Route]) -> Connecting:
        """Connect to the peer for a client."""
        return start(self.stack.connector.connect(Resolution(PEER, [], routes), cause))

    def refuse_all(self) -> list[str]:
        """Let each connection fail; the addresses, in order."""
        tried = []
        while self.net.dialled:
            tried += [host for host, _ in self.net.dialled[:1]]
            self.net.refuse()
        return tried

    def many(self) -> list[Route]:
        """Twenty targets of eight addresses each."""
        routes = [route(f"s{number}.test", 8448 + number) for number in range(20)]
        for number, each in enumerate(routes):
            self.hosts[each.host] = [f"192.0.2.{number * 8 + n}" for n in range(8)]
        return routes

    def test_two_connections(self) -> None:
        """For a client two connections are tried, however many there are."""
        connecting = self.connect_for(CLIENT, self.many())
        assert self.refuse_all() == ["192.0.2.0", "192.0.2.1"]
        problem = self.problem(connecting)
        assert problem.reasons == ["not_connected"] + ["not_tried"] * 19
        assert problem.attempts[1] == "s1.test:8449: not tried, as a client causes it"
        assert self.stack.names.asked == ["s0.test"]

    def test_all_for_ourselves(self) -> None:
        """For ourselves, and for a trusted client, all are tried."""
        self.stack.trusted.add("198.51.100.9")
        for cause in (OURSELVES, Cause("198.51.100.9")):
            connecting = self.connect_for(cause, self.many())
            assert len(set(self.refuse_all())) == 160
            self.attempts(connecting)

    def test_other_targets_the_next_time(self) -> None:
        """What failed is tried last: so each target has its turn for clients too."""
        routes = [route(f"192.0.2.{number}") for number in range(1, 6)]
        tried = []
        for _ in range(3):
            self.connect_for(CLIENT, routes).addErrback(lambda _: None)
            tried += self.refuse_all()
        assert tried == [f"192.0.2.{number}" for number in (1, 2, 3, 4, 5, 1)]

    def test_other_addresses_the_next_time(self) -> None:
        """So has each address of one target."""
        self.hosts["a.test"] = [f"192.0.2.{number}" for number in range(1, 6)]
        tried = []
        for _ in range(2):
            self.connect_for(CLIENT, [route("a.test")]).addErrback(lambda _: None)
            tried += self.refuse_all()
        connecting = self.connect_for(CLIENT, [route("a.test")])
        assert self.net.dialled[0] == ("192.0.2.5", 8448)
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.5"
        assert tried == [f"192.0.2.{number}" for number in range(1, 5)]

    def test_second_address_after_a_wrong_certificate(self) -> None:
        """Of the two connections the second is tried where the first proves nothing."""
        self.hosts["a.test"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        connecting = self.connect_for(CLIENT, [route("a.test")])
        self.net.accept(WRONG).hang_up()
        self.net.accept(WRONG).hang_up()
        self.attempts(connecting)

    def test_over_budget(self) -> None:
        """Beyond a budget no connection is made, and no target counts as failed."""
        for number in range(5):
            routes = [route(f"192.0.2.{number * 2 + n}") for n in (1, 2)]
            self.connect_for(CLIENT, routes).addErrback(lambda _: None)
            self.refuse_all()
        connecting = self.connect_for(CLIENT, [route("192.0.2.200")])
        self.net.clock.advance(0.3)  # in which the endpoint looks for another address
        problem = self.problem(connecting)
        assert problem.reason == "over_budget"
        assert problem.reasons == ["over_budget"]
        assert problem.attempts == [
            "192.0.2.200:8448: too many connections for peer.test in a minute"
        ]
        assert (
            problem.explanation.public
            == "peer.test is not connected to now: clients cause too many connections"
        )
        self.connect_for(OURSELVES, [route("192.0.2.200"), route("192.0.2.201")])
        assert self.net.dialled == [("192.0.2.200", 8448)]

    def test_ports_are_names(self) -> None:
        """Servers of one host at many ports are many names, as test set-ups have."""
        for port in range(1, 30):
            name = ServerName.parse(f"peer.test:{port}")
            resolution = Resolution(name, [], [route("192.0.2.1", port)])
            connecting = start(self.stack.connector.connect(resolution, CLIENT))
            assert self.net.dialled == [("192.0.2.1", port)]
            self.net.accept(GOOD)
            self.link(connecting)

    def test_bytes_until_verified(self) -> None:
        """A connection is cut off that would send too much, unless it is verified."""
        budgets = self.stack.budgets
        assert budgets.may_send("peer.test", 17_000)
        connecting = self.connect_for(CLIENT, [route("192.0.2.1")])
        wire = self.net.accept(GOOD)
        connection, _ = self.successResultOf(connecting)
        connection.tls.write(b"x" * 100_000)
        wire.flush()
        assert not wire.tcp.is_aborted
        assert wire.peer.received == b"x" * 100_000
        again = self.connect_for(CLIENT, [route("192.0.2.1")])
        assert budgets.may_send("peer.test", 1000)
        self.net.accept(GOOD)
        self.net.clock.advance(10)
        assert "TLS handshake failed" in str(self.attempts(again))
