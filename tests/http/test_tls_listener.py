"""The TLS listener: what is spoken, what is shown, and how many may come.

TLS 1.2 and newer is spoken. A client that does not close is cut off.
"""

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.tls_listener import BoundedTls
from homeserver.net.tls.certificate import Certificate
from tests.support.certificates import authority, issue, issue_for
from tests.support.http_connection import (
    TlsConnection,
    connections,
    old_context,
    request,
    site,
)
from tests.support.manual_resource import Desk
from tests.support.server_tls import OneCertificate

LIMIT = 10


class TlsTests(SynchronousTestCase):
    """The TLS listener, by a client that checks nothing."""

    def setUp(self) -> None:
        """Listen with a certificate that a root has issued."""
        self.clock = Clock()
        between = issue("Between", None, issuer=authority(), is_authority=True)
        self.certificate = issue_for("us.example", between).value
        self.tls = OneCertificate(self.certificate)
        self.desk = Desk()
        self.site = site(self.desk, max_body_bytes=LIMIT, clock=self.clock)

    def _connect(self, context: SSL.Context | None = None) -> TlsConnection:
        factory = TLSMemoryBIOFactory(
            self.tls, isClient=False, wrappedFactory=self.site, clock=self.clock
        )
        return TlsConnection(factory, context or SSL.Context(SSL.TLS_METHOD))

    def _send(self, connection: TlsConnection, data: bytes) -> None:
        """Send, and let the small writes of the answer go out."""
        connection.send(data)
        self.clock.advance(0)

    def _shown(self, connection: TlsConnection) -> list[object]:
        chain = connection.client.get_peer_cert_chain(as_cryptography=True)
        return list(chain or [])

    def _check_spoken(self, version: int, name: str) -> None:
        connection = self._connect(old_context(version))
        connection.shake_hands()
        self.assertEqual(connection.client.get_protocol_version_name(), name)
        self._send(connection, request("GET", "/"))
        self.assertEqual([a.status for a in connection.answers()], [200])

    def test_new_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken."""
        self._check_spoken(SSL.TLS1_2_VERSION, "TLSv1.2")
        self._check_spoken(SSL.TLS1_3_VERSION, "TLSv1.3")

    def test_old_versions(self) -> None:
        """TLS 1.1 and older is refused, whatever the library would still allow."""
        self.tls._base = self.tls._build()
        self.tls._base.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        for version in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
            connection = self._connect(old_context(version))
            with self.assertRaises(SSL.Error) as caught:
                connection.shake_hands()
            self.assertIn("alert protocol version", str(caught.exception))

    def test_certificate(self) -> None:
        """The certificate is shown with those that lead to the root."""
        connection = self._connect()
        connection.shake_hands()
        self.assertEqual(self._shown(connection), list(self.certificate.chain))
        self.assertEqual(len(self.certificate.chain), 2)

    def test_renewed_certificate(self) -> None:
        """A new certificate is shown from the next handshake on."""
        before = self._connect()
        before.shake_hands()
        renewed: Certificate = issue_for("us.example").value
        self.tls.renew(renewed)
        after = self._connect()
        after.shake_hands()
        self.assertEqual(self._shown(before), list(self.certificate.chain))
        self.assertEqual(self._shown(after), list(renewed.chain))
        self._send(before, request("GET", "/"))
        self.assertEqual([a.status for a in before.answers()], [200])

    def test_resumption(self) -> None:
        """A client that was here before can resume its session."""
        context = old_context(SSL.TLS1_2_VERSION)  # shows its certificate in the clear
        first, second = self._connect(context), self._connect(context)
        first.shake_hands()
        session = first.client.get_session()
        assert session is not None
        second.client.set_session(session)
        second.shake_hands()
        self.assertIn(self.certificate.leaf, first.heard)
        self.assertNotIn(self.certificate.leaf, second.heard)

    def test_refused_body_is_not_read_on(self) -> None:
        """A client that sends on after a refusal, and does not close, is cut off."""
        connection = self._connect()
        connection.shake_hands()
        self._send(connection, request("PUT", "/", ["Content-Length: 99999999"]))
        self.assertEqual([a.status for a in connection.answers()], [413])
        for _ in range(20):
            self.assertFalse(connection.is_aborted)
            connection.send(b"x" * 10_000)
            self.clock.advance(0.1)
        self.assertTrue(connection.is_aborted)
        self.assertEqual(self.desk.taken, [])

    def test_bytes_after_the_end(self) -> None:
        """What a client sends after what was not HTTP breaks nothing."""
        connection = self._connect()
        connection.shake_hands()
        for piece in (b"nonsense\r\n", b"\r\n", request("GET", "/")):
            self._send(connection, piece)
        self.assertEqual([a.status for a in connection.answers()], [400])
        self.assertEqual(self.desk.taken, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_that_does_not_close(self) -> None:
        """A client that was answered for the last time does not stay for ever."""
        connection = self._connect()
        connection.shake_hands()
        self._send(connection, request("GET", "/", ["Connection: close"]))
        self.assertEqual([a.status for a in connection.answers()], [200])
        self.clock.advance(15)
        self.assertTrue(connection.is_aborted)

    def test_drain_waits_for_no_end_of_tls(self) -> None:
        """At the end a connection is closed when all is written, idle or answered.

        The client does not close; it has everything, and the end of TLS after it.
        """
        self.desk = Desk(waits=True)
        self.site = site(self.desk, clock=self.clock)
        idle, busy, closing = (self._connect() for _ in range(3))
        for connection in (idle, busy, closing):
            connection.shake_hands()
        self._send(busy, request("GET", "/"))
        self._send(closing, b"nonsense\r\n")
        Deferred.fromCoroutine(self.site.drain())
        self.clock.advance(0)
        self.assertTrue(idle.is_closed)
        self.assertTrue(closing.is_closed)
        self.assertFalse(busy.is_closed)
        self.desk.results[0].callback(None)
        self.clock.advance(0)
        self.assertTrue(busy.is_closed)
        self.assertEqual([a.status for a in busy.answers()], [200])
        with self.assertRaises(SSL.ZeroReturnError):
            busy.client.recv(1)

    def test_handshake_without_end(self) -> None:
        """Nor does one that never begins its handshake."""
        connection = self._connect()
        self.clock.advance(60)
        self.assertTrue(connection.is_aborted)


class Tcp(StringTransport):
    """A transport that is one of TCP."""

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001 - Twisted's
        """Do so."""


class ConnectionLimitTests(SynchronousTestCase):
    """So many connections, and so many of one address."""

    def connect(self, factory: BoundedTls, host: str) -> StringTransport | None:
        """Connect from an address; None if the connection is not taken."""
        address = IPv4Address("TCP", host, 1)
        protocol = factory.buildProtocol(address)
        if protocol is None:
            return None
        transport = Tcp(peerAddress=address)
        protocol.makeConnection(transport)
        self.made.append(protocol)
        return transport

    def setUp(self) -> None:
        """Make a listener that takes three connections, and two of one address."""
        self.made: list[IProtocol] = []
        self.connections = connections(3, 2)
        tls = OneCertificate(issue_for("us.example").value)
        self.factory = BoundedTls(tls, site(Desk()), self.connections, Clock())

    def test_of_one_address(self) -> None:
        """The third connection of an address is not taken, that of another one is."""
        self.assertIsNotNone(self.connect(self.factory, "192.0.2.1"))
        self.assertIsNotNone(self.connect(self.factory, "192.0.2.1"))
        self.assertIsNone(self.connect(self.factory, "192.0.2.1"))
        self.assertIsNotNone(self.connect(self.factory, "192.0.2.2"))

    def test_in_all(self) -> None:
        """The fourth connection is not taken, from wherever it comes."""
        for number in range(3):
            self.assertIsNotNone(self.connect(self.factory, f"192.0.2.{number}"))
        self.assertIsNone(self.connect(self.factory, "192.0.2.9"))

    def test_those_that_are_gone_do_not_count(self) -> None:
        """A connection that has ended makes room for another one."""
        for _ in range(2):
            self.connect(self.factory, "192.0.2.1")
        for protocol in self.made:
            protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.connections.bound.use(), 0)
        self.assertIsNotNone(self.connect(self.factory, "192.0.2.1"))
