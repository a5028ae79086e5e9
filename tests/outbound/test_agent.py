"""Requests go to names, over connections that were verified for those names."""

from collections.abc import Sequence
from io import BytesIO

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Cooperator
from twisted.trial.unittest import SynchronousTestCase
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
from homeserver.outbound.transport.connection import ResponseTooLarge, read_body
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.discovery import NotResolvable
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import build_v1, parse_v1
from homeserver.protocol.signing import SigningKey
from homeserver.storage.peers import Peer
from tests.support.certificates import issue_for
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

STRANGER = Cause("192.0.2.9")

URL = b"matrix-federation://peer.test/_matrix/federation/v1/version"


class AgentTestCase(SynchronousTestCase):
    """An agent over a reactor in memory."""

    def setUp(self) -> None:
        """Make the agent."""
        self.stack = Stack()
        self.net = self.stack.net
        self.agent = self.stack.agent

    async def exchange(
        self, outgoing: OutgoingRequest, name: ServerName = PEER
    ) -> tuple[IResponse, VerifiedConnection]:
        """Send one request, whose exchange is `told`."""
        self.told = Exchange()
        return await self.agent.send(name, outgoing, OURSELVES, self.told)

    def ask(
        self, target: bytes = b"/1", name: ServerName = PEER
    ) -> Deferred[tuple[IResponse, VerifiedConnection]]:
        """Send a request."""
        return start(self.exchange(OutgoingRequest(b"GET", target, Headers()), name))

    def read(self, asked: Deferred[tuple[IResponse, VerifiedConnection]]) -> bytes:
        """The body of a response that has come."""
        response, _ = self.successResultOf(asked)
        return self.successResultOf(read_body(response, 1000))

    def answered(self, answer: bytes = ok(b"{}")) -> Wire:
        """The wire of a first request, which was answered."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.say(answer)
        self.read(asked)
        wire.flush()
        return wire


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


class PoolTests(AgentTestCase):
    """How long a connection is kept."""

    def test_kept(self) -> None:
        """The next request goes over the same connection, verified once."""
        wire = self.answered()
        again = self.ask(b"/2")
        assert self.net.dialled == []
        wire.say(ok(b"again"))
        assert self.read(again) == b"again"

    def test_not_kept_for_another_name(self) -> None:
        """A connection is for the very name that it was verified for."""
        self.answered()
        for name in ("PEER.test", "peer.test:8448", "other.test"):
            self.ask(name=ServerName.parse(name))
        assert len(self.net.dialled) == 3

    def test_not_kept_for_another_host_header(self) -> None:
        """A connection is for the very host that discovery leads to."""
        self.answered()
        moved = route("192.0.2.1")
        self.stack.names.routes = [
            type(moved)(moved.host, moved.port, "new.test", "new.test")
        ]
        self.ask()
        assert len(self.net.dialled) == 1

    def test_not_kept_where_the_peer_says_so(self) -> None:
        """A connection that the peer wants to end is ended."""
        wire = self.answered(ok(b"{}", "Connection: close\r\n"))
        assert wire.peer.is_gone
        self.ask()
        assert len(self.net.dialled) == 1

    def test_not_kept_where_the_peer_goes_on(self) -> None:
        """A connection on which the peer says what was not asked is not used again."""
        self.answered().say(ok(b'{"forged":1}'))
        self.ask()
        assert len(self.net.dialled) == 1

    def test_not_kept_for_a_moment_where_the_peer_goes_on(self) -> None:
        """Such a connection is not used even before it has ended."""
        self.answered().whisper(ok(b'{"forged":1}'))
        self.ask()
        assert len(self.net.dialled) == 1

    def test_not_used_twice_at_once(self) -> None:
        """A connection whose answer is not over gets no second request."""
        self.ask()
        wire = self.net.accept(GOOD)
        wire.say(ok(b"{}")[:-1])
        self.ask()
        assert len(self.net.dialled) == 1


class EndTests(AgentTestCase):
    """A peer cannot keep a connection that we end: descriptors are few."""

    def assert_ended(self, wire: Wire) -> None:
        """See that a connection is over although the peer does nothing for it."""
        assert not wire.tcp.disconnecting
        self.net.clock.advance(15)
        assert wire.tcp.is_aborted

    def test_after_the_last_answer(self) -> None:
        """A peer that wants to end a connection and does not is not waited for."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.whisper(ok(b"{}", "Connection: close\r\n"))
        self.read(asked)
        self.assert_ended(wire)

    def test_after_nonsense(self) -> None:
        """A peer that speaks nonsense is not waited for."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.whisper(b"220 peer.test ESMTP\r\n\r\n")
        self.failureResultOf(asked, ResponseFailed)
        self.assert_ended(wire)

    def test_after_more_nonsense(self) -> None:
        """A peer that goes on with nonsense and then ends is done with."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.whisper(b"220 peer.test ESMTP\r\n\r\n")
        wire.whisper(b"221 Bye\r\n")
        self.failureResultOf(asked, ResponseFailed)
        wire.flush()
        assert wire.peer.is_gone
        self.net.clock.advance(15)
        assert self.net.clock.getDelayedCalls() == []

    def test_after_half_a_minute(self) -> None:
        """A peer that keeps an idle connection open is not waited for."""
        wire = self.answered()
        self.net.clock.advance(30)
        self.assert_ended(wire)

    def test_at_the_end(self) -> None:
        """Closing does not wait for a peer that does not answer."""
        wire = self.answered()
        closing = start(self.agent.close())
        self.assertNoResult(closing)
        self.assert_ended(wire)
        wire.flush()
        self.successResultOf(closing)

    def test_body_that_is_too_large(self) -> None:
        """A connection whose body is too large is over at once."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.whisper(ok(b"x" * 2000)[:1500])
        read = read_body(self.successResultOf(asked)[0], 1000)
        self.failureResultOf(read, ResponseTooLarge)
        assert wire.tcp.is_aborted

    def test_ended_twice(self) -> None:
        """Ending a connection again does not give the peer more time."""
        wire = self.answered()
        self.net.clock.advance(30)
        self.net.clock.advance(5)
        closing = start(self.agent.close())
        self.net.clock.advance(5)
        assert wire.tcp.disconnecting
        self.successResultOf(closing)

    def test_body_that_does_not_end(self) -> None:
        """A connection is over at once when its body is no longer waited for."""
        asked = self.ask()
        wire = self.net.accept(GOOD)
        wire.whisper(ok(b"{}")[:-1])
        read = read_body(self.successResultOf(asked)[0], 1000)
        read.cancel()
        self.failureResultOf(read, CancelledError)
        assert wire.tcp.is_aborted

    def test_peer_that_was_faster(self) -> None:
        """Where the peer has ended an idle connection, there is nothing to end."""
        self.answered().hang_up()
        self.net.clock.pump([5.0] * 12)
        assert self.net.clock.getDelayedCalls() == []

    def test_polite_peer(self) -> None:
        """A peer that ends its side as well leaves nothing to be done."""
        self.answered(ok(b"{}", "Connection: close\r\n"))
        assert self.net.clock.getDelayedCalls() == []


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


class ReachTests(AgentTestCase):
    """A connection that is made to see what the peer shows now."""

    def reach(self) -> Deferred[VerifiedConnection]:
        """Reach the peer."""
        return start(self.agent.reach(PEER, OURSELVES))

    def test_new_connection(self) -> None:
        """A new connection is made although there is one, and ended at once."""
        kept = self.answered()
        reached = self.reach()
        assert self.net.dialled == [("192.0.2.1", 8448)]
        wire = self.net.accept(GOOD)
        link = self.successResultOf(reached)
        assert link.peer.certificate == GOOD.value.leaf
        assert (link.address, link.route) == ("192.0.2.1", route("192.0.2.1"))
        assert wire.peer.is_gone
        assert wire.tcp.is_aborted
        assert wire.peer.received == b""
        assert not kept.peer.is_gone

    def test_kept_connection_goes_on(self) -> None:
        """The connection that there was is used by the next request, and no other."""
        kept = self.answered()
        reached = self.reach()
        self.net.accept(GOOD)
        self.successResultOf(reached)
        again = self.ask(b"/2")
        assert self.net.dialled == []
        kept.say(ok(b"again"))
        assert self.read(again) == b"again"

    def test_not_kept(self) -> None:
        """The new connection is used by no other request."""
        reached = self.reach()
        self.net.accept(GOOD)
        self.successResultOf(reached)
        self.ask()
        assert len(self.net.dialled) == 1

    def test_renewed_certificate(self) -> None:
        """What the peer shows is known from then on as its certificate."""
        self.answered()
        renewed = issue_for("peer.test", CA)
        reached = self.reach()
        self.net.accept(renewed)
        link = self.successResultOf(reached)
        assert link.peer.certificate == renewed.value.leaf
        known = self.successResultOf(start(self.stack.peers.peer(PEER)))
        assert known is not None
        assert known.certificate_sha256 == link.peer.certificate_sha256

    def test_no_connection(self) -> None:
        """A peer that takes no connections cannot be reached, nor by a kept one."""
        self.answered()
        reached = self.reach()
        self.net.refuse()
        self.failureResultOf(reached, Unreachable)


class StrangersTests(AgentTestCase):
    """Connections that are made for a client's sake."""

    def ask_for(self, cause: Cause) -> Deferred[tuple[IResponse, VerifiedConnection]]:
        """Send a request, with its cause."""
        outgoing = OutgoingRequest(b"GET", b"/1", Headers())
        return start(self.agent.send(PEER, outgoing, cause, Exchange()))

    def known(self) -> Peer | None:
        """What is stored of the peer."""
        return self.successResultOf(start(self.stack.peers.peer(PEER)))

    def test_nothing_is_recorded_for_a_client(self) -> None:
        """A peer that was verified for a client's sake is not stored."""
        asked = self.ask_for(STRANGER)
        self.net.accept(GOOD).say(ok(b"{}"))
        _, link = self.successResultOf(asked)
        assert link.peer.verified_by == "certificate"
        assert not link.is_recorded
        assert self.known() is None

    def test_it_is_recorded_before_we_use_it(self) -> None:
        """A connection of a client's sake is recorded when we use it ourselves."""
        asked = self.ask_for(STRANGER)
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(key_document(SELF_SIGNED)))
        wire.say(ok(b"{}"))
        self.read(asked)
        wire.flush()
        assert self.known() is None
        for _ in range(2):
            asked = self.ask_for(OURSELVES)
            wire.say(ok(b"{}"))
            response, link = self.successResultOf(asked)
            assert link.is_recorded
            self.successResultOf(read_body(response, 1000))
            wire.flush()
        known = self.known()
        assert known is not None
        assert known.verified_by == "key-document"
        assert len(known.pinned_keys) == 1
        assert wire.peer.received.count(b"GET /1 ") == 3

    def test_who_became_another_meanwhile_gets_nothing(self) -> None:
        """A connection whose peer is known as another by then carries no request."""
        asked = self.ask_for(STRANGER)
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(key_document(SELF_SIGNED)))
        wire.say(ok(b"{}"))
        self.read(asked)
        wire.flush()
        other = Peer(PEER, "certificate", "ab" * 32, {}, 1, 1)
        recording = self.stack.peers.record_verified(other, None, None)
        assert self.successResultOf(start(recording))
        asked = self.ask_for(OURSELVES)
        failure = self.failureResultOf(asked, Unreachable)
        assert "192.0.2.1:8448: peer.test was verified in another" in str(failure.value)
        assert failure.value.reasons == ("changed_meanwhile",)
        wire.flush()
        assert wire.peer.received.count(b"GET /1 ") == 1
        assert wire.tcp.disconnecting
        assert self.known() == other

    def test_stored_keys_that_contradict_meanwhile_are_a_conflict(self) -> None:
        """A peer whose keys contradict those that were stored by then is reported so.

        It was verified for a client, so nothing was recorded of it.
        """
        asked = self.ask_for(STRANGER)
        wire = self.net.accept(SELF_SIGNED)
        wire.say(ok(key_document(SELF_SIGNED)))
        wire.say(ok(b"{}"))
        self.read(asked)
        wire.flush()
        key = SigningKey(KeyId("ed25519:k_3131"), NaclSigningKey(b"2" * 32))
        other = parse_v1(encode(build_v1(PEER, SELF_SIGNED.value.leaf, [key])), PEER)
        recording = self.stack.peers.record_keys(other, 0)
        self.successResultOf(start(recording))
        problem = self.failureResultOf(self.ask_for(OURSELVES), Unreachable).value
        assert isinstance(problem, Unreachable)
        assert problem.reasons == ("key_conflict",)
        assert "ed25519:k_3131 of peer.test is " in (problem.conflict or "")

    def test_who_is_reached_is_recorded(self) -> None:
        """A server that is reached as it has proven a request is stored."""
        reaching = start(self.agent.reach(PEER, STRANGER))
        self.net.accept(GOOD)
        assert self.successResultOf(reaching).is_recorded
        assert self.known() is not None

    def test_who_is_forgotten_is_connected_to_anew(self) -> None:
        """A connection of before is not used for a name that was forgotten."""
        wire = self.answered()
        self.agent.forget(ServerName.parse("other.test"))
        self.ask()
        assert b"GET /1 HTTP/1.1" in wire.peer.received
        before = len(self.net.dialled)
        wire.say(ok(b"{}"))
        self.agent.forget(PEER)
        self.ask()
        assert len(self.net.dialled) == before + 1

    def test_routes_of_who_is_forgotten_are_tried_anew(self) -> None:
        """Which routes to a name failed is forgotten with it."""
        first, second = route("192.0.2.1"), route("192.0.2.2")
        self.stack.names.routes = [first]
        self.failureResultOf(self.refused(), Unreachable)
        self.stack.names.routes = [first, second]
        self.agent.forget(PEER)
        self.ask()
        assert self.net.dialled[-1][0] == "192.0.2.1"

    def refused(self) -> Deferred[tuple[IResponse, VerifiedConnection]]:
        """A request by the only route, which leads to another server."""
        asked = self.ask()
        self.net.accept(SELF_SIGNED).say(ok(b"{}"))
        return asked

    def test_addresses_are_told(self) -> None:
        """A client has the addresses counted that it causes connections to."""
        aims: list[Sequence[str]] = []
        self.ask_for(Cause("192.0.2.9", aims.append))
        assert aims == [["192.0.2.1"]]
