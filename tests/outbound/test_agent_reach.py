"""A connection that an agent makes to see what a server shows now."""

from twisted.internet.defer import Deferred

from homeserver.net.cause import OURSELVES
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from tests.support.agents import AgentTestCase
from tests.support.certificates import issue_for
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import CA, GOOD, PEER, route


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
