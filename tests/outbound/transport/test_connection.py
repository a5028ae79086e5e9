"""One connection: its handshake, its handing over, and how its end is told."""

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from homeserver.outbound.transport.connection import MAX_RESPONSE_BYTES
from homeserver.outbound.transport.response import ResponseTooLarge
from tests.support.connections import LOST, SECONDS, ConnectionTestCase


class Recorder(Protocol):
    """A protocol that a connection is handed over to."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        """Record what came."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Record why it ended."""
        self.lost.append(reason)


class HandshakeTests(ConnectionTestCase):
    """Before the first request."""

    def setUp(self) -> None:
        """Make the connection."""
        self.make_connection()

    def test_handshake_completes(self) -> None:
        """The end of the handshake fires the Deferred."""
        self.assertNoResult(self.connection.handshake)
        self.connection.handshakeCompleted()
        self.successResultOf(self.connection.handshake)

    def test_handshake_fails(self) -> None:
        """A failed handshake fails the Deferred with its reason."""
        self.connection.connectionLost(Failure(SSL.Error("no cipher")))
        failure = self.failureResultOf(self.connection.handshake, SSL.Error)
        assert str(failure.value) == "no cipher"

    def test_handshake_after_its_time(self) -> None:
        """A handshake may complete, and be lost, after its Deferred was cancelled."""
        waited = self.connection.handshake.addTimeout(SECONDS, self.clock)
        self.clock.advance(SECONDS)
        self.failureResultOf(waited, defer.TimeoutError)
        self.connection.handshakeCompleted()
        self.connection.handshakeCompleted()
        self.lose()

    def test_peer_that_speaks_first(self) -> None:
        """A peer that says anything before it was asked has the wrong protocol."""
        self.connection.handshakeCompleted()
        self.receive(b"220 peer.test ESMTP\r\n")
        assert self.is_aborted
        assert self.connection.is_closing

    def test_is_closing_when_we_end_it(self) -> None:
        """A connection is closing as soon as we have ended it."""
        assert not self.connection.is_closing
        self.transport.loseConnection()
        assert self.connection.is_closing

    def test_is_closing_when_it_is_lost(self) -> None:
        """A connection that is gone is closing."""
        self.connection.handshakeCompleted()
        self.lose()
        assert self.connection.is_closing

    def test_abort(self) -> None:
        """A connection can be ended without the peer's consent."""
        self.connection.abort()
        assert self.is_aborted
        assert self.connection.is_closing


class HandOverTests(ConnectionTestCase):
    """After the peer is verified."""

    def test_protocol_has_the_connection(self) -> None:
        """The protocol that takes the connection over reads and writes on it."""
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.assertIs(recorder.transport, self.transport)
        self.receive(b"abc")
        assert recorder.received == b"abc"

    def test_end_is_told_once(self) -> None:
        """The protocol that took the connection over learns of its end, once."""
        self.ask()
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.lose()
        assert recorder.lost == [LOST]

    def test_excess_is_told_once(self) -> None:
        """A response that is too large is the end, and the end is not told again."""
        recorder = Recorder()
        self.connection.hand_over(recorder)
        self.receive(b"x" * MAX_RESPONSE_BYTES)
        self.assertFalse(self.is_aborted)
        self.receive(b"x")
        assert self.is_aborted
        self.lose()
        [reason] = recorder.lost
        assert reason.check(ResponseTooLarge)
        assert len(recorder.received) == MAX_RESPONSE_BYTES
