"""When answers are sent, and in how many records of TLS.

Head and body are one record, sent at the end of the turn. What fills a record does not
wait.
"""

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.reply import Reply
from homeserver.http.tls_listener import BoundedTls
from tests.support.certificates import issue_for
from tests.support.http_connection import (
    Connection,
    TlsConnection,
    at_root,
    connections,
    request,
    site,
)
from tests.support.server_tls import OneCertificate


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
