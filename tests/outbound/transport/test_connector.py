"""Routes are tried in order until one leads to the peer, and no further."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import VerificationMethod
from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import LookupFailed, Resolution, Route
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Database, Job, StoreUnavailable
from tests.support.certificates import issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import Wire, ok, start
from tests.support.outbound_stack import (
    CA,
    GOOD,
    PEER,
    SELF_SIGNED,
    Stack,
    key_document,
    route,
)

WRONG = issue_for("other.test", CA)
"""A certificate of another server."""

NOT_FOR = "the certificate is not for peer.test but for 'other.test'"

UNTRUSTED = "the certificate is self-signed and not trusted"


def refusal(address: str, refused: str, form: str | None = None) -> str:
    """What is said of an address in a refused range."""
    return (
        f"{address} is in the refused range {refused}; to allow it, set "
        f'allow = ["{form or address}"] in [network]'
    )


KEY_REQUEST = b"GET /_matrix/key/v1 HTTP/1.1\r\n"

_T = TypeVar("_T")

Connecting = Deferred[tuple[PeerConnection, VerifiedConnection]]


class SlowStore(MemoryDatabase):
    """A store whose jobs wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Deferred[None]] = []

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        await self._wait()
        return await super().write(job)

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        await self._wait()
        return await super().read(job)

    def go_on(self) -> None:
        """Do all jobs, those too that follow on others."""
        while self._waiting:
            self._waiting.pop(0).callback(None)

    async def _wait(self) -> None:
        self._waiting.append(Deferred())
        await self._waiting[-1]


class FailingStore(MemoryDatabase):
    """A store that cannot be used from some moment on."""

    is_damaged = False

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        if self.is_damaged:
            raise StoreUnavailable("damaged")
        return await super().read(job)


class ConnectorTestCase(SynchronousTestCase):
    """A connector that verifies by certificate."""

    methods: Sequence[VerificationMethod] = ("certificate",)

    def setUp(self) -> None:
        """Make the connector."""
        self.make_stack()

    def make_stack(
        self,
        refuse: Sequence[str] = (),
        allow: Sequence[str] = (),
        database: Database | None = None,
    ) -> None:
        """Make a connector that refuses some addresses, or that has another store."""
        self.stack = Stack(self.methods, refuse, allow, database)
        self.net = self.stack.net
        self.hosts = self.stack.names.hosts

    def connect(self, *hosts: str) -> Connecting:
        """Connect to the peer by routes over these hosts."""
        routes = [route(host, 8448 + number) for number, host in enumerate(hosts)]
        return start(
            self.stack.connector.connect(Resolution(PEER, [], routes), OURSELVES)
        )

    def link(self, connecting: Connecting) -> VerifiedConnection:
        """The link of a connection that was made."""
        _, link = self.successResultOf(connecting)
        return link

    def problem(self, connecting: Connecting) -> Unreachable:
        """Why there is no connection."""
        problem = self.failureResultOf(connecting, Unreachable).value
        assert isinstance(problem, Unreachable)
        return problem

    def attempts(self, connecting: Connecting) -> Sequence[str]:
        """What was tried in vain."""
        problem = self.problem(connecting)
        assert problem.destination == PEER
        assert str(problem) == "peer.test cannot be reached: " + "; ".join(
            problem.attempts
        )
        assert self.net.dialled == []
        return problem.attempts

    def assert_ended(self, wire: Wire, received: bytes = b"") -> None:
        """See to it that a connection is over, and what was said on it."""
        wire.flush()
        assert wire.peer.is_gone
        assert wire.peer.received == received


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


class AddressTests(ConnectorTestCase):
    """Which of a route's addresses is taken."""

    def test_next_address_after_a_while(self) -> None:
        """An address that does not answer at once gets competition."""
        self.hosts["a.test"] = ["2001:db8::1", "192.0.2.1"]
        connecting = self.connect("a.test")
        assert self.net.dialled == [("2001:db8::1", 8448)]
        self.net.clock.advance(0.3)
        assert self.net.dialled == [("2001:db8::1", 8448), ("192.0.2.1", 8448)]
        self.net.clock.tcpClients.reverse()
        self.net.clock.connectors.reverse()
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.1"

    def test_next_address_after_a_failed_verification(self) -> None:
        """Each of a route's addresses is tried until one is the peer's."""
        self.hosts["a.test"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        connecting = self.connect("a.test")
        self.net.accept(WRONG)
        assert self.net.dialled == [("192.0.2.2", 8448)]
        self.net.accept(WRONG)
        self.net.accept(GOOD)
        assert self.link(connecting).address == "192.0.2.3"

    def test_each_address_once(self) -> None:
        """However often a host has an address, it is connected to once."""
        self.hosts["a.test"] = ["192.0.2.1"] * 8 + ["192.0.2.2", "192.0.2.1"]
        connecting = self.connect("a.test")
        self.net.accept(WRONG)
        self.net.accept(WRONG)
        assert self.attempts(connecting) == [
            f"a.test:8448: 192.0.2.1: TLS handshake failed: {NOT_FOR}",
            f"a.test:8448: 192.0.2.2: TLS handshake failed: {NOT_FOR}",
        ]

    def test_each_address_once_in_whatever_form(self) -> None:
        """An address that the system writes in another way is the same address."""
        forms = [
            ("::ffff:102:304", "::ffff:1.2.3.4"),
            ("::ffff:1.2.3.4", "::ffff:102:304"),
            ("::102:304", "::1.2.3.4"),
            ("fe80::1", "fe80::1%eth0"),
            ("fe80::1%2", "fe80::1%eth0"),
            ("192.0.2.1", "2001:db8::9"),
        ]
        for found, told in forms:
            self.setUp()
            self.hosts["a.test"] = [found]
            connecting = self.connect("a.test")
            self.net.accept(WRONG, host=told)
            assert len(self.attempts(connecting)) == 1

    def test_next_address_in_whatever_form(self) -> None:
        """An address that the system writes in another way is not all addresses."""
        mapped = ("::ffff:102:304", "::ffff:1.2.3.4")
        for found, told in (mapped, mapped[::-1]):
            self.setUp()
            self.hosts["a.test"] = [found, "192.0.2.1"]
            connecting = self.connect("a.test")
            self.net.accept(WRONG, host=told)
            self.net.accept(GOOD)
            assert self.link(connecting).address == "192.0.2.1"

    def test_eight_addresses_at_most(self) -> None:
        """Of a host with hundreds of addresses, eight are tried."""
        self.hosts["a.test"] = [f"192.0.2.{number}" for number in range(200)]
        connecting = self.connect("a.test")
        for _ in range(8):
            self.net.accept(WRONG)
        assert len(self.attempts(connecting)) == 8

    def test_addresses_that_cannot_be_reached(self) -> None:
        """Where no address of a route can be connected to, they are tried once."""
        self.hosts["a.test"] = ["192.0.2.1", "192.0.2.2"]
        connecting = self.connect("a.test")
        self.net.clock.advance(0.3)
        self.net.refuse()
        self.net.refuse()
        self.net.clock.advance(0.3)
        assert len(self.attempts(connecting)) == 1


class PolicyTests(ConnectorTestCase):
    """Addresses that are not to be connected to."""

    def test_refused(self) -> None:
        """A refused address is not connected to; how to allow it is said."""
        self.make_stack(refuse=["127.0.0.0/8", "::1/128"])
        cases = [
            ("127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
            ("::1", "::1", "::1/128"),
            ("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
        ]
        for address, form, refused in cases:
            self.hosts["a.test"] = [address]
            connecting = self.connect("a.test")
            assert self.attempts(connecting) == [
                "a.test:8448: " + refusal(address, refused, form)
            ]
        assert self.net.clock.connectors == []

    def test_allowed_among_refused(self) -> None:
        """Of a host with addresses of both kinds, the allowed ones are used."""
        self.make_stack(refuse=["10.0.0.0/8"], allow=["10.0.0.7/32"])
        self.hosts["a.test"] = ["10.0.0.1", "192.0.2.1", "10.0.0.7", "10.0.0.9"]
        connecting = self.connect("a.test")
        dialled = self.net.dialled
        self.net.accept(WRONG)
        dialled += self.net.dialled
        self.net.accept(WRONG)
        self.attempts(connecting)
        assert [host for host, _ in dialled] == ["192.0.2.1", "10.0.0.7"]


class HandshakeTests(ConnectorTestCase):
    """What may go wrong between the connection and the verification."""

    def test_handshake_in_time(self) -> None:
        """A peer that does not shake hands within ten seconds is given up."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(GOOD, is_silent=True)
        self.net.clock.advance(9.9)
        self.assertNoResult(connecting)
        self.net.clock.advance(0.1)
        assert self.attempts(connecting) == [
            "192.0.2.1:8448: 192.0.2.1: TLS handshake failed: no answer in time"
        ]
        assert wire.tcp.disconnecting

    def test_pinned_certificate(self) -> None:
        """A certificate that the operator has pinned need not be trusted."""
        pins = self.stack.peers.certificate_pins
        sha256 = hashlib.sha256(SELF_SIGNED.value.leaf).hexdigest()
        self.successResultOf(start(pins.pin(PEER, sha256)))
        connecting = self.connect("192.0.2.1")
        self.net.accept(SELF_SIGNED)
        self.assertEqual(self.link(connecting).peer.verified_by, "certificate")

    def test_peer_hangs_up(self) -> None:
        """A peer that ends the connection instead of shaking hands has failed."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(GOOD, is_silent=True)
        wire.tcp.protocol.connectionLost(Failure(error.ConnectionLost()))
        [attempt] = self.attempts(connecting)
        assert "TLS handshake failed: the peer ended the connection" in attempt

    def test_no_tls(self) -> None:
        """A peer that speaks no TLS has failed."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(GOOD, is_silent=True)
        wire.tcp.protocol.dataReceived(b"SSH-2.0-OpenSSH_9.9\r\n")
        wire.flush()
        [attempt] = self.attempts(connecting)
        assert "TLS handshake failed: " in attempt

    def test_peer_that_is_gone_is_not_used(self) -> None:
        """A peer that hangs up while it is being verified is not the one to ask."""
        store = SlowStore()
        self.make_stack(database=store)
        connecting = self.connect("192.0.2.1", "192.0.2.2")
        store.go_on()
        self.net.accept(GOOD).hang_up()
        store.go_on()
        self.net.accept(GOOD)
        store.go_on()
        assert self.link(connecting).address == "192.0.2.2"

    def test_peer_that_speaks_unasked_is_not_used(self) -> None:
        """A peer that speaks while it is being verified is not the one to ask."""
        store = SlowStore()
        self.make_stack(database=store)
        connecting = self.connect("192.0.2.1")
        store.go_on()
        self.net.accept(GOOD).say(ok(b"{}"))
        store.go_on()
        assert self.attempts(connecting) == [
            "192.0.2.1:8448: 192.0.2.1 ended the connection while it was verified"
        ]

    def test_store_that_fails(self) -> None:
        """Where the store fails, no route has failed; the connection is ended."""
        store = FailingStore()
        self.make_stack(database=store)
        connecting = self.connect("192.0.2.1", "192.0.2.2")
        store.is_damaged = True
        wire = self.net.accept(GOOD)
        self.failureResultOf(connecting, StoreUnavailable)
        assert self.net.dialled == []
        self.assert_ended(wire)


class KeyDocumentTests(ConnectorTestCase):
    """With the second method."""

    methods = ("certificate", "key-document")

    def test_document_is_asked_for(self) -> None:
        """A certificate that proves nothing is not the end of it."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        self.assertNoResult(connecting)
        assert wire.peer.received.startswith(KEY_REQUEST)
        wire.say(ok(key_document(SELF_SIGNED)))
        assert self.link(connecting).peer.verified_by == "key-document"

    def test_both_methods_fail(self) -> None:
        """Each method says what is wrong by it."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b"{}", status="500 Internal Server Error"))
        [attempt] = self.attempts(connecting)
        start = (
            f"192.0.2.1:8448: 192.0.2.1 is not verified: by certificate: {UNTRUSTED}"
        )
        assert attempt.startswith(f"{start} (it names ")
        assert attempt.endswith(
            "; add it to `ca_file` (of a lab: start it with `--trust FILE`), or serve "
            "`/_matrix/key/v1`); "
            "by key-document: /_matrix/key/v1 answers with status 500"
        )
        assert wire.tcp.disconnecting

    def test_document_in_time(self) -> None:
        """A peer that gives no document in ten seconds is given up."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        self.net.clock.advance(10)
        [attempt] = self.attempts(connecting)
        assert "/_matrix/key/v1 gets no answer: " in attempt
        assert "no answer in time" in attempt
        assert wire.tcp.disconnecting

    def test_peer_that_is_gone_is_not_asked(self) -> None:
        """A peer that hangs up after the handshake is not waited for."""
        store = SlowStore()
        self.make_stack(database=store)
        connecting = self.connect("192.0.2.1")
        self.net.accept(SELF_SIGNED).hang_up()
        store.go_on()
        [attempt] = self.attempts(connecting)
        assert "the peer ended the connection" in attempt

    def test_peer_that_is_gone_is_refused(self) -> None:
        """A peer that hangs up before it is refused is refused as any other one."""
        store = SlowStore()
        self.make_stack(database=store)
        first = self.connect("192.0.2.1")
        self.net.accept(GOOD)
        store.go_on()
        self.link(first)
        connecting = self.connect("192.0.2.1")
        self.net.accept(SELF_SIGNED).hang_up()
        store.go_on()
        [attempt] = self.attempts(connecting)
        assert "was verified by its certificate before" in attempt

    def test_document_of_reasonable_size(self) -> None:
        """A document of more than 64 KiB is not read."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b" " * 65537))
        [attempt] = self.attempts(connecting)
        assert "/_matrix/key/v1 gets no answer: 'over 65536 bytes'" in attempt

    def test_nothing_but_the_document_is_asked_for(self) -> None:
        """A peer that is not verified gets one request, and that without a body."""
        connecting = self.connect("192.0.2.1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(b"[]"))
        self.attempts(connecting)
        wire.flush()
        assert wire.peer.received.count(b"\r\n\r\n") == 1
        assert wire.peer.received.endswith(b"\r\n\r\n")


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
