"""What is asked of a peer beyond what real servers can show; see the integration."""

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from homeserver.outbound.connection import PeerConnection
from homeserver.outbound.tls import Handshake
from homeserver.outbound.verification import NotVerified, Verifier
from homeserver.storage.peers import PeerStore
from tests.memory import MemoryDatabase
from tests.outbound.stack import CA, PEER, route, trusting
from tests.outbound.wire import start


class Anonymous(StringTransport):
    """A TLS connection whose peer showed no certificate."""

    def getPeerCertificate(self) -> None:
        """As `TLSMemoryBIOProtocol`."""


class VerifierTests(SynchronousTestCase):
    """Peers that no method proves."""

    def test_no_certificate(self) -> None:
        """A peer that showed no certificate is nobody, by whatever method."""
        peers = PeerStore(MemoryDatabase())
        verifier = Verifier(["certificate", "key-document"], peers, Clock())
        connection = PeerConnection()
        connection.makeConnection(Anonymous())
        handshake = Handshake(trusting(CA), PEER.name, must_be_trusted=False)
        failure = self.failureResultOf(
            start(verifier.verify(PEER, route("192.0.2.1"), handshake, connection)),
            NotVerified,
        )
        self.assertEqual(str(failure.value), "the peer showed no certificate")
        self.assertIsNone(self.successResultOf(start(peers.peer(PEER))))
