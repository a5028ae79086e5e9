"""Requests go to names, over connections that were verified for those names."""

from io import BytesIO

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from homeserver import __version__
from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.transport.budget import OverBudget
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.response import read_body
from homeserver.protocol.discovery import NotResolvable
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import ServerName
from tests.support.agents import AgentTestCase
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import (
    CA,
    GOOD,
    PEER,
    SELF_SIGNED,
    key_document,
    route,
)

URL = b"matrix-federation://peer.test/_matrix/federation/v1/version"


class RequestTests(AgentTestCase):
    """As an `IAgent`."""

    def request(
        self, url: bytes, headers: Headers | None = None
    ) -> Deferred[IResponse]:
        """Send a request to a URL."""
        return self.agent.request(b"GET", url, headers)

    def lines(self, url: bytes = URL, headers: Headers | None = None) -> list[bytes]:
        """The lines of a request, the first one first and the others sorted."""
        self.request(url, headers)
        wire = self.net.accept(GOOD)
        first, *others = wire.peer.received.split(b"\r\n")
        return [first, *sorted(others)]

    def test_interface(self) -> None:
        """It is an agent as Twisted has them."""
        assert verifyObject(IAgent, self.agent)

    def test_lines(self) -> None:
        """A request has the host that discovery found, and our user agent."""
        assert self.lines() == [
            b"GET /_matrix/federation/v1/version HTTP/1.1",
            b"",
            b"",
            b"Host: peer.test",
            b"User-Agent: homeserver/" + __version__.encode(),
        ]

    def test_headers(self) -> None:
        """Own headers are sent too, but for the host, and are not changed."""
        headers = Headers({"X-Own": ["1", "2"], "Host": ["evil.test"]})
        lines = self.lines(headers=headers)
        assert lines[3:5] == [b"Host: peer.test", lines[4]]
        assert lines[5:] == [b"X-Own: 1", b"X-Own: 2"]
        assert headers.getRawHeaders("Host") == ["evil.test"]
        assert not headers.hasHeader("User-Agent")

    def test_producer(self) -> None:
        """A body may come from a producer."""
        producer = FileBodyProducer(
            BytesIO(b"{}"),
            Cooperator(scheduler=lambda step: self.net.clock.callLater(0, step)),
        )
        self.agent.request(b"PUT", URL, None, producer)
        wire = self.net.accept(GOOD)
        self.net.clock.advance(0)
        wire.flush()
        head, _, body = wire.peer.received.partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: 2\r\n" in head
        assert body == b"{}"

    def test_body(self) -> None:
        """What is there already is sent as it is, with its length."""
        headers = Headers({"X-A": ["1", "2"]})
        start(self.exchange(OutgoingRequest(b"PUT", b"/1", headers, b"{}")))
        first, *others = self.net.accept(GOOD).peer.received.split(b"\r\n")
        assert (first, others.pop()) == (b"PUT /1 HTTP/1.1", b"{}")
        assert sorted(others) == [
            b"",
            b"Content-Length: 2",
            b"Host: peer.test",
            b"User-Agent: homeserver/" + __version__.encode(),
            b"X-A: 1",
            b"X-A: 2",
        ]

    def test_target_that_is_none(self) -> None:
        """Nothing that would be more than a target is written as one."""
        for target in (b"/1 HTTP/1.1\r\nX-A: 1", b"/\n"):
            asked = start(
                self.exchange(OutgoingRequest(b"PUT", target, Headers(), b""))
            )
            wire = self.net.accept(GOOD)
            self.failureResultOf(asked, ValueError)
            assert wire.peer.received == b""

    def test_target(self) -> None:
        """Path, parameters and query are sent as they are, and no fragment."""
        targets = [
            (b"/a%2Fb/?q=%23&r=1", b"/a%2Fb/?q=%23&r=1"),
            (b"/a;b=1?c", b"/a;b=1?c"),
            (b"/a#b", b"/a"),
            (b"", b"/"),
        ]
        for target, sent in targets:
            self.setUp()
            first, *_ = self.lines(b"matrix-federation://peer.test" + target)
            assert first == b"GET " + sent + b" HTTP/1.1"

    def test_answer(self) -> None:
        """The response is there as soon as its head is."""
        asked = self.request(URL)
        wire = self.net.accept(GOOD)
        self.assertNoResult(asked)
        wire.say(b"HTTP/1.1 418 Short\r\nContent-Length: 2\r\n\r\n")
        response = self.successResultOf(asked)
        assert response.code == 418
        body = read_body(response, 10)
        self.assertNoResult(body)
        wire.say(b"ab")
        assert self.successResultOf(body) == b"ab"

    def test_other_schemes(self) -> None:
        """Anything but a server's name is for other agents."""
        for url in (b"https://peer.test/", b"http://peer.test/", b"peer.test", b""):
            self.failureResultOf(self.request(url), SchemeNotSupported)

    def test_bad_names(self) -> None:
        """What is not a server's name is not asked."""
        for name in (
            b"",
            b"peer.test:",
            b"peer.test:99999",
            b"a@peer.test",
            b"peer_.test",
            b"127.1",
            b"caf\xc3\xa9.test",
            b"[::1",
            b"[zz]",
        ):
            failure = self.failureResultOf(
                self.request(b"matrix-federation://" + name + b"/")
            )
            assert failure.check(InvalidParam), (name, failure)
        assert self.net.dialled == []

    def test_no_route(self) -> None:
        """A name that leads nowhere cannot be reached."""
        self.stack.names.routes = NotResolvable("SRV: `.`", [], "no_service")
        problem = self.failureResultOf(self.request(URL), Unreachable).value
        assert isinstance(problem, Unreachable)
        assert (problem.destination, problem.attempts) == (PEER, ["SRV: `.`"])
        assert problem.reason == "not_resolved"
        assert problem.reasons == ["no_service"]

    def test_a_bound_on_discovery(self) -> None:
        """A name that a client may not have looked up now cannot be reached now."""
        self.stack.names.routes = OverBudget("too many others")
        problem = self.failureResultOf(self.request(URL), Unreachable).value
        assert isinstance(problem, Unreachable)
        assert problem.attempts == ["too many others"]
        assert problem.reason == "over_budget"
        assert problem.reasons == ["over_budget"]

    def test_no_connection(self) -> None:
        """A name whose routes all fail cannot be reached."""
        asked = self.request(URL)
        self.net.refuse()
        self.failureResultOf(asked, Unreachable)


class VerificationTests(AgentTestCase):
    """Which peer gets a request."""

    def test_answer_with_the_key_document(self) -> None:
        """What comes with the key document answers no request."""
        asked = self.ask(b"/1")
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(key_document(SELF_SIGNED)) + ok(b'{"forged":1}'))
        self.assertNoResult(asked)
        wire.say(ok(b"{}"))
        assert self.read(asked) == b"{}"

    def test_answer_is_of_its_connection(self) -> None:
        """Each response comes with the link of the connection that it came on."""
        asked = [self.ask(b"/1")]
        self.stack.names.routes = [route("192.0.2.2")]
        asked.append(self.ask(b"/2"))
        wires = [self.net.accept(GOOD) for _ in asked]
        for wire in wires:
            wire.say(ok(b"{}"))
        links = [self.successResultOf(each)[1] for each in asked]
        assert [link.address for link in links] == ["192.0.2.1", "192.0.2.2"]


class FailureTests(AgentTestCase):
    """What happens to a request that was sent."""

    def test_not_sent_again(self) -> None:
        """A request that was sent and not answered is not sent anywhere else."""
        self.stack.names.routes = [route("192.0.2.1"), route("192.0.2.2")]
        asked = self.ask()
        self.net.accept(GOOD).hang_up()
        self.failureResultOf(asked, ResponseFailed)
        assert self.net.dialled == []

    def test_not_sent_again_over_a_kept_connection(self) -> None:
        """Nor is one that was sent over a connection that the peer was just ending."""
        wire = self.answered()
        asked = self.ask()
        wire.hang_up()
        self.failureResultOf(asked, ResponseFailed)
        assert self.net.dialled == []

    def test_given_up(self) -> None:
        """Giving up ends the connection."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        asked.cancel()
        self.failureResultOf(asked, ResponseFailed)
        assert wire.tcp.disconnecting


class ClientTests(AgentTestCase):
    """A client over all this, for what only shows in the whole."""

    def setUp(self) -> None:
        """Make the client."""
        super().setUp()
        identity = Identity(ServerName.parse("origin.test"), [], [], CA.value)
        self.client = FederationClient(self.agent, lambda: identity, self.net.clock)

    def send(self) -> Deferred[Delivery]:
        """Send a transaction by two routes."""
        self.stack.names.routes = [route("192.0.2.1"), route("192.0.2.2")]
        return start(
            self.client.send_transaction(PEER, "1", b'{"pdus":[]}', exchange=Exchange())
        )

    def test_not_resolved(self) -> None:
        """Why a name cannot be resolved is for the operator alone."""
        self.stack.names.routes = NotResolvable("SRV _x.peer.test: SERVFAIL", [])
        sent = start(
            self.client.send_transaction(PEER, "1", b"{}", exchange=Exchange())
        )
        problem = self.failureResultOf(sent, Unreachable).value
        assert isinstance(problem, Unreachable)
        assert problem.explanation.public == "peer.test cannot be resolved"
        assert "SERVFAIL" in problem.explanation.in_full

    def test_cause(self) -> None:
        """Transactions are sent for ourselves, the rest for whose request needs it."""
        cause = Cause("198.51.100.1")
        causes = self.stack.names.causes
        self.send()
        assert causes == [OURSELVES] * 2
        for asked in (
            self.client.fetch_keys_v2(PEER, cause),
            self.client.fetch_keys_v1(PEER, cause),
            self.client.reach(PEER, cause),
        ):
            causes.clear()
            Deferred.fromCoroutine(asked)
            assert causes == [cause] * 2

    def test_delivery(self) -> None:
        """A transaction goes out over a verified connection as the bytes that it is."""
        sent = self.send()
        wire = self.net.accept(GOOD)
        assert wire.peer.received.endswith(b'\r\n\r\n{"pdus":[]}')
        assert b"\r\nContent-Length: 11\r\n" in wire.peer.received
        wire.say(ok(b'{"pdus":{}}'))
        assert self.successResultOf(sent).reply == {"pdus": {}}
