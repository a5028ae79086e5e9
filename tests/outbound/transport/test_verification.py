"""What is asked of a peer beyond what real servers can show; see the integration."""

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cause import OURSELVES
from homeserver.net.tls.client import Handshake
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.failures import NotVerified
from homeserver.outbound.transport.verification import Verifier
from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.discovery import Resolution
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.key_documents import build_v1
from homeserver.protocol.signing import SigningKey
from homeserver.storage.peers import Peer, PeerStore
from tests.support.certificates import Issued
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import ok, start
from tests.support.our_names import OUR_NAME
from tests.support.outbound_stack import (
    CA,
    GOOD,
    PEER,
    SELF_SIGNED,
    Stack,
    key_document,
    route,
    trusting,
)


class Anonymous(StringTransport):
    """A TLS connection whose peer showed no certificate."""

    def getPeerCertificate(self) -> None:
        """As `TLSMemoryBIOProtocol`."""


class VerifierTests(SynchronousTestCase):
    """Peers that no method proves."""

    def test_no_certificate(self) -> None:
        """A peer that showed no certificate is not verified by any method."""
        peers = PeerStore(MemoryDatabase(), OUR_NAME, Clock())
        verifier = Verifier(["certificate", "key-document"], peers, Clock())
        connection = PeerConnection()
        connection.makeConnection(Anonymous())
        handshake = Handshake(trusting(CA), PEER.name, must_be_trusted=False)
        failure = self.failureResultOf(
            start(verifier.verify(PEER, route("192.0.2.1"), handshake, connection)),
            NotVerified,
        )
        assert str(failure.value) == "the peer showed no certificate"
        assert failure.value.reasons == ("no_certificate",)
        assert self.successResultOf(start(peers.peer(PEER))) is None


class RecordTests(SynchronousTestCase):
    """What is known of a peer after a connection."""

    def setUp(self) -> None:
        """Connect."""
        self.stack = Stack()

    def connect(self, issued: Issued, *answers: bytes) -> Peer | None:
        """Connect to a peer that answers so; what is known of it then."""
        routes = [route("192.0.2.1")]
        connecting = start(
            self.stack.connector.connect(Resolution(PEER, [], routes), OURSELVES)
        ).addErrback(lambda failure: failure.trap(Unreachable))
        wire = self.stack.net.accept(issued)
        for answer in answers:
            wire.say(answer)
        self.successResultOf(connecting)
        return self.successResultOf(start(self.stack.peers.peer(PEER)))

    def test_what_is_told(self) -> None:
        """Observers get the result of each method that was tried."""
        self.connect(SELF_SIGNED, ok(b"{}"))
        failed = [("certificate", "failed"), ("key-document", "failed")]
        assert self.stack.verifications == failed
        self.connect(SELF_SIGNED, ok(key_document(SELF_SIGNED)))
        assert self.stack.verifications[2:] == [
            ("certificate", "failed"),
            ("key-document", "verified"),
        ]
        assert self.stack.handshakes == ["completed", "completed"]

    def test_last_answer(self) -> None:
        """A peer that ends the connection after its key document is not pinned."""
        document = ok(key_document(SELF_SIGNED), "Connection: close\r\n")
        assert self.connect(SELF_SIGNED, document) is None

    def test_certificate_leaves_the_pin(self) -> None:
        """A peer that is verified by certificate keeps the keys that it had pinned."""
        first = self.connect(SELF_SIGNED, ok(key_document(SELF_SIGNED)))
        second = self.connect(GOOD)
        assert first is not None
        assert second is not None
        assert second.verified_by == "certificate"
        assert second.pinned_keys == first.pinned_keys
        assert len(second.pinned_keys) == 1


class RaceTests(SynchronousTestCase):
    """Two first connections to one server name, of which one is another server's."""

    def setUp(self) -> None:
        """Connect twice."""
        self.stack = Stack()
        routes = [route("192.0.2.1")]
        self.slow, self.fast = (
            start(self.stack.connector.connect(Resolution(PEER, [], routes), OURSELVES))
            for _ in range(2)
        )

    def assert_refused(
        self, connecting: Deferred[tuple[PeerConnection, VerifiedConnection]]
    ) -> None:
        """See that a connection is not used."""
        failure = self.failureResultOf(connecting, Unreachable)
        assert "verified in another way" in str(failure.value)
        assert failure.value.reasons == ["changed_meanwhile"]

    def known(self) -> Peer:
        """What is known of the peer."""
        known = self.successResultOf(start(self.stack.peers.peer(PEER)))
        assert known is not None
        return known

    def test_certificate_meanwhile(self) -> None:
        """A key document that comes after a certificate is too late."""
        slow = self.stack.net.accept(SELF_SIGNED)
        self.stack.net.accept(GOOD)
        self.successResultOf(self.fast)
        slow.say(ok(key_document(SELF_SIGNED)))
        self.assert_refused(self.slow)
        assert self.known().verified_by == "certificate"

    def test_pin_meanwhile(self) -> None:
        """A key document that comes after another one is too late."""
        slow, fast = (self.stack.net.accept(SELF_SIGNED) for _ in range(2))
        fast.say(ok(key_document(SELF_SIGNED)))
        self.successResultOf(self.fast)
        pinned = self.known().pinned_keys
        slow.say(ok(key_document(SELF_SIGNED, b"2" * 32)))
        self.assert_refused(self.slow)
        assert self.known().pinned_keys == pinned

    def test_same_document_twice(self) -> None:
        """Both connections are used if both are the peer's."""
        wires = [self.stack.net.accept(SELF_SIGNED) for _ in range(2)]
        for wire in wires:
            wire.say(ok(key_document(SELF_SIGNED)))
        for connecting in (self.slow, self.fast):
            _, link = self.successResultOf(connecting)
            assert link.peer.verified_by == "key-document"


class RebuiltTests(SynchronousTestCase):
    """A peer that is known, and shows other keys than it did."""

    def setUp(self) -> None:
        """Verify it once by its key document."""
        self.stack = Stack(["key-document"])
        connecting = self.connect()
        wire = self.stack.net.accept(SELF_SIGNED)
        wire.say(ok(key_document(SELF_SIGNED)))
        self.successResultOf(connecting)

    def connect(self) -> Deferred[tuple[PeerConnection, VerifiedConnection]]:
        """Connect to it."""
        resolution = Resolution(PEER, [], [route("192.0.2.1")])
        return start(self.stack.connector.connect(resolution, OURSELVES))

    def refused(self, seed: bytes, key_id: str) -> Unreachable:
        """What is said of a peer that shows a key under an ID."""
        key = SigningKey(KeyId(key_id), NaclSigningKey(seed))
        connecting = self.connect()
        document = build_v1(PEER, SELF_SIGNED.value.leaf, [key])
        self.stack.net.accept(SELF_SIGNED).say(ok(encode(document)))
        failure: Unreachable = self.failureResultOf(connecting, Unreachable).value
        return failure

    def test_another_key_under_the_same_id(self) -> None:
        """Both keys are named, and the command that forgets the one of before."""
        failure = self.refused(b"2" * 32, "ed25519:k_3131")
        keys = [
            encode_base64(bytes(NaclSigningKey(seed * 32).verify_key))
            for seed in (b"2", b"1")
        ]
        said = f"ed25519:k_3131 of peer.test is {keys[0]} now, and was stored as "
        assert said + keys[1] in str(failure)
        assert "`homeserver peers --forget peer.test`" in str(failure)
        assert str(failure.conflict) in str(failure)

    def test_another_key_under_another_id(self) -> None:
        """The pins are named, and the command that forgets them."""
        failure = self.refused(b"2" * 32, "ed25519:new")
        assert "pinned to peer.test (ed25519:k_3131)" in str(failure.conflict)
        assert "`homeserver peers --forget peer.test`" in str(failure)

    def test_another_failure_is_no_conflict(self) -> None:
        """A peer that is not verified for another reason contradicts nothing."""
        connecting = self.connect()
        self.stack.net.accept(SELF_SIGNED).say(ok(b"{}"))
        failure: Unreachable = self.failureResultOf(connecting, Unreachable).value
        assert failure.conflict is None
