"""How long a connection of an agent is kept for later requests, and how it ends."""

from twisted.internet.defer import CancelledError
from twisted.web.client import ResponseFailed

from homeserver.outbound.transport.response import ResponseTooLarge, read_body
from homeserver.protocol.identifiers import ServerName
from tests.support.agents import AgentTestCase
from tests.support.memory_tls_servers import Wire, ok, start
from tests.support.outbound_stack import GOOD, route


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
