"""What a TLS listener sees of its clients' certificates.

Any certificate is let in and seen whole; a resumed session shows only the leaf. The
server keeps no session.
"""

import pytest
from cryptography import x509
from OpenSSL import SSL
from OpenSSL._util import lib as openssl
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.tls_listener import BoundedTls
from homeserver.net.tls.shown_certificate import ShownCertificate
from tests.support.certificate_inspection import FOREIGN, OWN, PROVING, SERVER_AUTH
from tests.support.certificates import Issued, dns, issue, issue_for
from tests.support.http_connection import (
    TlsConnection,
    at_root,
    connections,
    request,
    site,
)
from tests.support.server_tls import OneCertificate


class Listener:
    """A TLS listener in memory, and what its resource sees of its clients."""

    def __init__(self, *, asks_for_certificate: bool = True) -> None:
        self.clock = Clock()
        self.seen: list[ShownCertificate | None] = []

        async def look(request: Request) -> Reply:
            self.seen.append(ShownCertificate.on(request.channel.transport))
            return json_reply({})

        self._tls = BoundedTls(
            OneCertificate(
                issue_for("us.example").value,
                asks_for_certificate=asks_for_certificate,
            ),
            site(at_root(GET=look), clock=self.clock),
            connections(),
            self.clock,
        )

    def connect(
        self, context: SSL.Context, session: SSL.Session | None = None
    ) -> TlsConnection:
        """Connect, and ask for what the resource sees."""
        connection = TlsConnection(self._tls, context)
        if session is not None:
            connection.client.set_session(session)
        connection.shake_hands()
        connection.send(request("GET", "/"))
        self.clock.advance(0)
        assert [answer.status for answer in connection.answers()] == [200]
        return connection

    @property
    def chains(self) -> list[list[x509.Certificate] | None]:
        """What each client showed, leaf first."""
        return [
            None
            if each is None
            else [
                each.leaf.to_cryptography(),
                *(issuer.to_cryptography() for issuer in each.chain),
            ]
            for each in self.seen
        ]


VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


def showing(version: int, issued: Issued | None) -> SSL.Context:
    """A client that shows a certificate if it is asked for one."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    if issued is not None:
        issued.value.present_in(context)
    return context


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake was a short one; pyOpenSSL does not tell."""
    return bool(openssl.SSL_session_reused(connection._ssl))


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
@pytest.mark.parametrize(
    "issued",
    [
        PROVING,
        OWN,
        FOREIGN,
        issue("x", None, days=(-9, -2)),
        issue("x", dns("x.test"), purposes=[SERVER_AUTH]),
    ],
    ids=["issued", "self-signed", "foreign", "expired", "for servers"],
)
def test_any_certificate_is_let_in(version: int, issued: Issued) -> None:
    """A client may show whatever it has; it is seen whole, and not judged yet."""
    listener = Listener()
    listener.connect(showing(version, issued))
    assert listener.chains == [list(issued.value.chain)]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_no_certificate_is_let_in(version: int) -> None:
    """A client that has none is let in, and none is seen."""
    listener = Listener()
    listener.connect(showing(version, None))
    assert listener.seen == [None]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_no_certificate_is_asked_for(version: int) -> None:
    """Where certificates are ignored, no client shows one."""
    listener = Listener(asks_for_certificate=False)
    listener.connect(showing(version, OWN))
    assert listener.seen == [None]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_resumed(version: int) -> None:
    """A resumed session shows the same certificate, without what led to it."""
    listener = Listener()
    context = showing(version, PROVING)
    first = listener.connect(context)
    again = listener.connect(context, first.client.get_session())
    assert not was_resumed(first.client)
    assert was_resumed(again.client)
    assert listener.chains == [list(PROVING.value.chain), [PROVING.certificate]]


def test_no_session_is_kept() -> None:
    """What a client shows is kept by itself, in its ticket, and never by the server.

    A chain may take a hundred kilobytes, and whoever shows it need not be known.
    """
    listener = Listener()
    context = showing(SSL.TLS1_2_VERSION, PROVING)
    context.set_options(SSL.OP_NO_TICKET)
    first = listener.connect(context)
    again = listener.connect(context, first.client.get_session())
    assert not was_resumed(again.client)


def test_no_tls() -> None:
    """A connection without TLS shows no certificate."""
    assert ShownCertificate.on(StringTransport()) is None
