"""What a record shows of the TLS of a connection."""

from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from homeserver.net.tls.facts import facts_of
from tests.support.certificates import issue_for
from tests.support.http_connection import TlsConnection, at_root, site
from tests.support.server_tls import OneCertificate

CLIENT = issue_for("them.example").value


def shaken(context: SSL.Context, sni: bytes | None = None) -> object:
    """The server's side of a connection after its handshake."""
    tls = OneCertificate(issue_for("us.example").value)
    factory = TLSMemoryBIOFactory(
        tls, isClient=False, wrappedFactory=site(at_root()), clock=Clock()
    )
    connection = TlsConnection(factory, context)
    if sni is not None:
        connection.client.set_tlsext_host_name(sni)
    connection.shake_hands()
    return connection._protocol


def test_all_facts() -> None:
    """Version, cipher, the name that is asked for, and the certificate presented."""
    context = SSL.Context(SSL.TLS_METHOD)
    CLIENT.present_in(context)
    facts = facts_of(shaken(context, b"us.example"))
    assert facts is not None
    assert (facts.version, facts.sni) == ("TLSv1.3", "us.example")
    assert facts.cipher is not None
    assert facts.cipher.startswith("TLS_")
    assert facts.certificate == CLIENT.leaf


def test_a_client_that_says_nothing() -> None:
    """What a client does not say is None."""
    facts = facts_of(shaken(SSL.Context(SSL.TLS_METHOD)))
    assert facts is not None
    assert (facts.sni, facts.alpn, facts.certificate) == (None, None, None)


def test_no_tls() -> None:
    """A connection without TLS has none of it."""
    assert facts_of(StringTransport()) is None


def test_one_certificate_in_memory() -> None:
    """A record of many connections to one server keeps its certificate once."""
    context = SSL.Context(SSL.TLS_METHOD)
    CLIENT.present_in(context)
    first, second = (facts_of(shaken(context)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.certificate is second.certificate
