"""Connections that an agent makes for a client: what of them is stored, and when."""

from collections.abc import Sequence

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.response import read_body
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import build_v1, parse_v1
from homeserver.protocol.signing import SigningKey
from homeserver.storage.peers import Peer
from tests.support.agents import AgentTestCase
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import GOOD, PEER, SELF_SIGNED, key_document, route

STRANGER = Cause("192.0.2.9")


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
