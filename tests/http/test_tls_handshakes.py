"""What is told of the handshake of each connection.

One exchange says what came of it. No TLS is made for a connection that sends nothing.
"""

import contextlib
from unittest.mock import patch

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.tls_listener import BoundedTls
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from tests.support.certificates import issue_for
from tests.support.http_connection import (
    Connection,
    TlsConnection,
    connections,
    old_context,
    request,
    site,
)
from tests.support.manual_resource import Desk
from tests.support.server_tls import OneCertificate


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
