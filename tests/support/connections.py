"""One connection whose transport is the test's."""

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.exchange import Exchange
from homeserver.outbound.transport.connection import Get, PeerConnection
from homeserver.outbound.transport.response import Response
from tests.support.memory_tls_servers import start

LOST = Failure(error.ConnectionLost())

SECONDS = 10.0

LIMIT = 1000


class ConnectionTestCase(SynchronousTestCase):
    """A connection whose transport is the test's."""

    def setUp(self) -> None:
        """Make the connection, and let its handshake be over."""
        self.make_connection()
        self.connection.handshakeCompleted()

    def make_connection(self) -> None:
        """Make the connection."""
        self.clock = Clock()
        self.told = Exchange()
        self.transport = StringTransport(lenient=True)
        self.connection = PeerConnection()
        self.connection.makeConnection(self.transport)

    @property
    def is_aborted(self) -> bool:
        """Whether we ended the connection at once."""
        return bool(self.transport.disconnected)

    @property
    def is_ended(self) -> bool:
        """Whether the connection is of no more use, from whichever end."""
        # A body's reader has no other way to end it.
        return self.connection.is_closing or self.transport.producerState == "stopped"

    def receive(self, data: bytes) -> None:
        """Let the peer say something."""
        self.connection.dataReceived(data)

    def lose(self) -> None:
        """Let the connection end."""
        self.transport.connected = False
        self.connection.connectionLost(LOST)

    def ask(self, host: str = "peer.test:8448") -> Deferred[Response]:
        """Fetch something."""
        return start(
            self.connection.fetch(
                Get("/thing?a=b", host, SECONDS, LIMIT), self.told, self.clock
            )
        )
