"""Routes are tried in order until one leads to the peer, and no further."""

from collections.abc import Callable, Sequence

from twisted.internet import error
from twisted.internet.defer import CancelledError

from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import LookupFailed
from tests.support.connecting import (
    NOT_FOR,
    UNTRUSTED,
    WRONG,
    ConnectorTestCase,
    refusal,
)
from tests.support.memory_tls_servers import Wire, ok
from tests.support.outbound_stack import GOOD, PEER, SELF_SIGNED, key_document, route


class RouteTests(ConnectorTestCase):
    """Which route is taken."""

    def test_link(self) -> None:
        """A connection comes with where it leads, and with how that is known."""
        self.hosts["a.test"] = ["192.0.2.1"]
        connecting = self.connect("a.test")
        self.net.accept(GOOD)
        assert self.link(connecting) == VerifiedConnection(
            route("a.test", 8448),
            "192.0.2.1",
            VerifiedPeer(PEER, "certificate", GOOD.value.leaf),
            is_recorded=True,
        )
        assert self.stack.names.asked == ["a.test"]

    def test_ipv6(self) -> None:
        """An IPv6 address is connected to as one."""
        self.hosts["a.test"] = ["2001:db8::1"]
        connecting = self.connect("a.test")
        self.net.accept(GOOD)
        assert self.link(connecting).address == "2001:db8::1"

    def test_any_host_name(self) -> None:
        """A host is connected to whatever IDNA thinks of its name."""
        for host in ("a_b.test", "-a.test", "ab--c.test", "xn--a.test", "a-.test"):
            self.setUp()
            self.hosts[host] = ["192.0.2.1"]
            connecting = self.connect(host)
            self.net.accept(GOOD)
            assert self.link(connecting).address == "192.0.2.1"

    def test_next_route_after_a_failed_connect(self) -> None:
        """Where a route refuses connections, the next one is tried, and no other."""
        connecting = self.connect("192.0.2.1", "192.0.2.2", "192.0.2.3")
        assert self.net.dialled == [("192.0.2.1", 8448)]
        self.net.refuse()
        assert self.net.dialled == [("192.0.2.2", 8449)]
        self.net.accept(GOOD)
        assert str(self.link(connecting).route) == "192.0.2.2:8449"
        assert self.net.dialled == []

    def test_next_route_after_a_failed_verification(self) -> None:
        """Where another server answers, the next route is tried."""
        connecting = self.connect("192.0.2.1", "192.0.2.2")
        wire = self.net.accept(WRONG)
        self.assert_ended(wire)
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.2"

    def test_what_is_told(self) -> None:
        """Observers see each handshake and each verification."""
        connecting = self.connect("192.0.2.1", "192.0.2.2", "192.0.2.3")
        self.net.refuse()
        self.net.accept(WRONG)
        self.net.accept(GOOD)
        self.link(connecting)
        assert self.stack.handshakes == ["failed", "completed"]
        assert self.stack.verifications == [("certificate", "verified")]

    def test_next_route_after_a_failed_look_up(self) -> None:
        """Where a host has no address, the next route is tried."""
        self.hosts["a.test"] = LookupFailed("a.test has no address")
        connecting = self.connect("a.test", "192.0.2.2")
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.2"

    def test_no_route(self) -> None:
        """All that was tried is told, in order, with what was wrong with it."""
        self.make_stack(refuse=["10.0.0.0/8"])
        self.hosts["a.test"] = LookupFailed("a.test has no address")
        self.hosts["b.test"] = ["10.1.2.3"]
        connecting = self.connect(
            "a.test",
            "b.test",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "2001:db8::1",
            "192.0.2.4",
        )
        self.net.refuse()
        self.net.refuse(error.TimeoutError())
        self.net.accept(WRONG)
        self.net.accept(SELF_SIGNED)
        self.net.refuse(OSError(113, "No route to host"))
        assert self.attempts(connecting) == [
            "a.test:8448: a.test has no address",
            "b.test:8449: " + refusal("10.1.2.3", "10.0.0.0/8"),
            "192.0.2.1:8450: cannot connect: Connection was refused by other side.",
            "192.0.2.2:8451: cannot connect: no answer in time",
            f"192.0.2.3:8452: 192.0.2.3: TLS handshake failed: {NOT_FOR}",
            f"[2001:db8::1]:8453: 2001:db8::1: TLS handshake failed: {UNTRUSTED}",
            "192.0.2.4:8454: cannot connect: No route to host",
        ]

    def test_reasons(self) -> None:
        """Each attempt has a word beside its line that programs can rely on."""
        self.methods = ("key-document",)
        self.make_stack(refuse=["10.0.0.0/8"])
        self.hosts["a.test"] = LookupFailed("it has no address", "no_address")
        connecting = self.connect(
            "a.test", "10.1.2.3", *(f"192.0.2.{number}" for number in range(1, 5))
        )
        self.net.refuse()
        self.net.accept(WRONG).hang_up()
        self.net.accept(SELF_SIGNED).say(ok(b"{}"))
        self.net.accept(GOOD, is_silent=True).hang_up()
        problem = self.problem(connecting)
        assert problem.reasons == [
            *["no_address", "refused_address", "not_connected"],
            *["document_no_answer", "document_invalid", "handshake_failed"],
        ]

    def test_what_strangers_are_told(self) -> None:
        """Strangers learn which check failed, and nothing of what an address did."""
        self.make_stack(refuse=["10.0.0.0/8"])
        self.hosts["a.test"] = ["10.1.2.3"]
        connecting = self.connect("a.test", "192.0.2.1")
        self.net.refuse()
        problem = self.problem(connecting)
        assert "10.1.2.3" in problem.explanation.in_full
        assert "192.0.2.1:8449: cannot connect" in problem.explanation.in_full
        assert problem.reason == "not_verified"
        assert (
            problem.explanation.public == "no connection to peer.test could be verified"
        )

    def public(self, *steps: Callable[[], object], hosts: Sequence[str]) -> str:
        """What strangers are told of a connection after all that happens to it."""
        connecting = self.connect(*hosts)
        for step in steps:
            step()
        problem = self.failureResultOf(connecting, Unreachable).value
        assert isinstance(problem, Unreachable)
        return problem.explanation.public

    def test_strangers_learn_nothing_of_a_port(self) -> None:
        """Closed, silent, without TLS, of another server: the text is the same."""

        def say_what_is_no_tls() -> None:
            wire = self.net.accept(GOOD, is_silent=True)
            wire.tcp.bufferReceived(b"220 smtp\r\n")
            wire.flush()

        def say_nothing() -> None:
            self.net.accept(GOOD, is_silent=True)
            self.net.clock.advance(10)

        steps: list[Callable[[], object]] = [
            lambda: self.net.refuse(None),
            lambda: self.net.refuse(TimeoutError()),
            lambda: self.net.refuse(OSError(113, "No route to host")),
            lambda: self.net.accept(WRONG).hang_up(),
            lambda: self.net.accept(SELF_SIGNED).hang_up(),
            say_what_is_no_tls,
            say_nothing,
        ]
        for step in steps:
            self.make_stack(refuse=["10.0.0.0/8"])
            said = self.public(step, hosts=["192.0.2.1"])
            assert said == "no connection to peer.test could be verified"
        self.make_stack(refuse=["10.0.0.0/8"])
        self.hosts["lost.test"] = LookupFailed("no answer")
        self.hosts["none.test"] = LookupFailed("no such name", "no_address")
        for host in ("10.0.0.1", "lost.test", "none.test"):
            said = self.public(hosts=[host])
            assert said == "no connection to peer.test could be verified"

    def test_reason_is_bounded(self) -> None:
        """However many routes were tried, what is told of them is not without end."""
        hosts = [f"{'a' * 60}{number}.test" for number in range(50)]
        for host in hosts:
            self.hosts[host] = LookupFailed("no answer")
        failure = self.failureResultOf(self.connect(*hosts), Unreachable)
        assert len(str(failure.value)) == 4000
        assert str(failure.value).endswith("...")

    def test_connecting_takes_ten_seconds_at_most(self) -> None:
        """The system is told how long to try."""
        self.connect("192.0.2.1")
        [(_, _, _, timeout, _)] = self.net.clock.tcpClients
        assert timeout == 10


class CancellationTests(ConnectorTestCase):
    """After a caller gives up, nothing is tried any more."""

    methods = ("certificate", "key-document")

    def test_when_it_is_given_up(self) -> None:
        """At each stage, the connection is ended, and no other one is made."""

        def leave() -> None:
            self.net.clock.tcpClients.clear()

        def begin_document() -> Wire:
            wire = self.net.accept(SELF_SIGNED)
            wire.say(ok(key_document(SELF_SIGNED))[:-1])
            return wire

        stages: dict[str, Callable[[], Wire | None]] = {
            "while connecting": leave,
            "in the handshake": lambda: self.net.accept(GOOD, is_silent=True),
            "before the key document": lambda: self.net.accept(SELF_SIGNED),
            "in the key document": begin_document,
        }
        for stage, reach in stages.items():
            with self.subTest(stage):
                self.setUp()
                connecting = self.connect("192.0.2.1", "192.0.2.2")
                [connector] = self.net.clock.connectors
                wire = reach()
                connecting.cancel()
                self.failureResultOf(connecting, CancelledError)
                self.net.clock.advance(60)
                assert self.net.dialled == []
                if wire is None:
                    assert connector.stoppedConnecting
                else:
                    assert wire.tcp.disconnecting
