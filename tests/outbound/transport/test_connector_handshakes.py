"""What may go wrong between a connection and the end of its verification."""

import hashlib
from typing import TypeVar

from twisted.internet import error
from twisted.python.failure import Failure

from homeserver.storage.engine.interface import Job, StoreUnavailable
from tests.support.connecting import ConnectorTestCase, SlowStore
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import GOOD, PEER, SELF_SIGNED

_T = TypeVar("_T")


class FailingStore(MemoryDatabase):
    """A store that cannot be used from some moment on."""

    is_damaged = False

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        if self.is_damaged:
            raise StoreUnavailable("damaged")
        return await super().read(job)


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
