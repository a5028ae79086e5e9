"""The TLS listener: what is spoken, what is shown, and how many may come."""

import contextlib
from unittest.mock import patch

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.reply import Reply
from homeserver.http.tls_listener import BoundedTls
from homeserver.net.exchange import Exchange, Exchanges
from homeserver.net.tls.certificate import Certificate
from tests.support.certificates import authority, issue, issue_for
from tests.support.http_connection import (
    Connection,
    TlsConnection,
    at_root,
    connections,
    request,
    site,
)
from tests.support.manual_resource import Desk
from tests.support.server_tls import OneCertificate

LIMIT = 10


def old_context(latest: int) -> SSL.Context:
    """A client that speaks no newer TLS than `latest`, and takes what it gets."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(latest)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    return context


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


class Counting(OneCertificate):
    """Counts the connections of OpenSSL that it makes."""

    made = 0

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As `ServerTls`."""
        self.made += 1
        return super().serverConnectionForTLS(tlsProtocol)


class HandshakeTests(SynchronousTestCase):
    """What is told of handshakes."""

    def setUp(self) -> None:
        """Make a listener that takes one connection."""
        self.results: list[str] = []
        clock = Clock()
        self.tls = Counting(issue_for("us.example").value)
        self.factory = BoundedTls(
            self.tls,
            site(Desk()),
            connections(1),
            clock,
            Exchanges(clock, self._observe),
        )

    def _observe(self, exchange: Exchange) -> None:
        assert (exchange.kind, exchange.direction) == ("connection", "in")
        self.results.append(str(exchange.result))
        self.exchange = exchange

    def connect(self, context: SSL.Context | None = None) -> TlsConnection:
        """Connect; no handshake has begun."""
        return TlsConnection(self.factory, context or SSL.Context(SSL.TLS_METHOD))

    def logged(self, connection: TlsConnection) -> list[str | None]:
        """What is logged when a connection is lost."""
        with capturedLogs() as events:
            connection.lose()
        return [formatEvent(event) for event in events]

    def test_completed(self) -> None:
        """A handshake is told once, when it is over, and is no news for the log."""
        connection = self.connect()
        self.assertEqual(self.results, [])
        connection.shake_hands()
        self.assertEqual(self.results, ["completed"])
        connection.send(request("GET", "/"))
        self.assertEqual(self.logged(connection), [])
        self.assertEqual(self.results, ["completed"])

    def test_failed(self) -> None:
        """A handshake that fails is told with the reason."""
        connection = self.connect(old_context(SSL.TLS1_1_VERSION))
        with self.assertRaises(SSL.Error):
            connection.shake_hands()
        [line] = self.logged(connection)
        self.assertEqual(self.results, ["failed"])
        self.assertEqual(self.exchange.address, "192.0.2.1")
        self.assertEqual(self.exchange.reason, "handshake_failed")
        self.assertEqual(self.exchange.error, "unsupported protocol")
        assert line is not None
        self.assertTrue(line.startswith("TLS handshake of 192.0.2.1 failed: "), line)
        self.assertIn("unsupported protocol", line)

    def test_no_tls(self) -> None:
        """Who speaks no TLS has failed; what was said is not told."""
        connection = self.connect()
        Connection.send(connection, b"GET /secret HTTP/1.1\r\n\r\n")
        [line] = self.logged(connection)
        self.assertEqual(self.results, ["failed"])
        assert line is not None
        self.assertIn("http request", line)
        self.assertNotIn("secret", line)

    def test_given_up(self) -> None:
        """A handshake that the client does not end has failed as well."""
        connection = self.connect()
        with contextlib.suppress(SSL.WantReadError):
            connection.client.do_handshake()
        Connection.send(connection, connection.client.bio_read(65536))
        self.assertEqual(
            self.logged(connection),
            ["TLS handshake of 192.0.2.1 failed: the peer ended the connection"],
        )
        self.assertEqual(self.results, ["failed"])

    def test_silent(self) -> None:
        """Who connects and says nothing only looks whether somebody is there."""
        self.assertEqual(self.logged(self.connect()), [])
        self.assertEqual(self.results, [])

    def test_silent_connection_has_no_tls(self) -> None:
        """OpenSSL has nothing for a connection before its first byte."""
        connection = self.connect()
        self.assertEqual(self.tls.made, 0)
        with contextlib.suppress(SSL.WantReadError):
            connection.client.do_handshake()
        hello = connection.client.bio_read(65536)
        Connection.send(connection, hello[:5])
        self.assertEqual(self.tls.made, 1)
        Connection.send(connection, hello[5:])
        connection.shake_hands()
        self.assertEqual(self.tls.made, 1)
        self.assertEqual(self.results, ["completed"])

    def test_lost_before_the_first_byte(self) -> None:
        """One that ends without a byte makes room for the next one."""
        self.connect().lose()
        self.assertEqual(self.factory.protocols, {})
        self.connect().shake_hands()
        self.assertEqual(self.results, ["completed"])

    def test_closed_before_the_first_byte(self) -> None:
        """No TLS is made for the end of a connection: at a limit, or of ours."""
        first = self.connect()
        first._protocol.give_way()  # type: ignore[attr-defined]
        self.assertTrue(first.is_aborted)
        first.lose()
        second = self.connect()
        self.factory.end_connections()
        self.assertTrue(second.is_aborted)
        second.lose()
        self.assertEqual(self.tls.made, 0)
        self.assertEqual(self.factory.protocols, {})

    def test_end_of_tls(self) -> None:
        """A client whose handshake is complete is told of the end."""
        connection = self.connect()
        connection.shake_hands()
        self.factory.end_connections()
        self.assertEqual(connection.answers(), [])
        with self.assertRaises(SSL.ZeroReturnError):
            connection.client.recv(1)

    def test_tls_cannot_be_made(self) -> None:
        """A connection without TLS, as without memory, is gone when it is closed."""
        with patch.object(Counting, "made", property()):
            connection = self.connect()
            with self.assertRaises(AttributeError):
                Connection.send(connection, b"\x16")
            connection.lose()
        self.assertEqual(self.results, [])
        self.connect().shake_hands()
        self.assertEqual(self.results, ["completed"])

    def test_refused(self) -> None:
        """A connection that is one too many is told as one."""
        self.connect()
        self.assertIsNone(self.factory.buildProtocol(IPv4Address("TCP", "::1", 1)))
        self.assertEqual(self.results, ["refused"])
        self.assertEqual(self.exchange.address, "::1")
        self.assertEqual(self.exchange.reason, "too_many_connections")

    def test_record(self) -> None:
        """A record has the TLS of a handshake, and how long it took."""
        recorded: list[Exchange] = []
        self.factory._exchanges.record = recorded.append
        connection = self.connect()
        connection.shake_hands()
        [exchange] = recorded
        assert exchange.details is not None
        assert exchange.details.tls is not None
        self.assertEqual(exchange.details.tls.version, "TLSv1.3")
        self.assertEqual(list(exchange.details.stages), ["handshake"])


class SendingTests(SynchronousTestCase):
    """When answers are sent, and how many pieces they are."""

    def setUp(self) -> None:
        """Make a listener whose resource answers with so many bytes."""
        self.clock = Clock()
        self.length = 2
        tls = OneCertificate(issue_for("us.example").value)
        root = at_root(GET=lambda _: Reply(b"x" * self.length))
        self.factory = BoundedTls(
            tls, site(root, clock=self.clock), connections(), self.clock
        )

    def ask(self, *headers: str) -> TlsConnection:
        """Connect, and send a request; `heard` is what comes after the handshake."""
        connection = TlsConnection(self.factory, SSL.Context(SSL.TLS_METHOD))
        connection.shake_hands()
        connection.heard = b""
        connection.send(request("GET", "/", headers))
        return connection

    def records(self, connection: TlsConnection) -> int:
        """How many records of TLS an answer was, which has come whole."""
        [answer] = connection.answers()
        self.assertEqual(len(answer.body), self.length)
        count, rest = 0, connection.heard
        while rest:
            rest = rest[5 + int.from_bytes(rest[3:5], "big") :]
            count += 1
        return count

    def test_answer_is_one_record(self) -> None:
        """Head and body of an answer are sent as one, when the turn is over."""
        connection = self.ask()
        self.assertEqual(connection.heard, b"")
        self.clock.advance(0)
        self.assertEqual(self.records(connection), 1)

    def test_refused_body_without_an_end(self) -> None:
        """What is sent after a refusal is not even decrypted, and there is an end."""
        connection = TlsConnection(self.factory, SSL.Context(SSL.TLS_METHOD))
        connection.shake_hands()
        connection.send(request("PUT", "/", ["Content-Length: 99999999"]))
        self.clock.advance(0)
        for _ in range(2**24 // 2**20):
            Connection.send(connection, b"no TLS" + b"x" * (2**20 - 6))
        self.assertFalse(connection.is_aborted)
        Connection.send(connection, b"x")
        self.assertTrue(connection.is_aborted)
        self.assertEqual([a.status for a in connection.answers()], [413])

    def test_a_record_does_not_wait(self) -> None:
        """What fills a record is sent at once: kept are never more than 16 kB."""
        self.length = 100_000
        connection = self.ask()
        self.assertGreater(len(connection.heard), self.length)
        self.assertEqual(self.records(connection), 7)

    def test_last_answer(self) -> None:
        """What is kept is sent before a connection is closed."""
        connection = self.ask("Connection: close")
        self.assertEqual([a.status for a in connection.answers()], [200])

    def test_client_that_is_gone(self) -> None:
        """What is kept for a connection that is lost in the same turn is forgotten."""
        gone, other = self.ask(), self.ask()
        gone.lose()
        self.clock.advance(0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.records(other), 1)


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
