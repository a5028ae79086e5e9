"""Which certificate a client gets, and which sessions it may resume."""

import contextlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.net.tls.server import (
    Listening,
    Presented,
    ServerConnection,
    ServerContexts,
    ServerTls,
)
from tests.support.certificates import authority, issue, issue_for
from tests.support.logged_errors import LoggedErrors

CA = authority()
CERTIFICATES = {name: issue_for(name, CA).value for name in ("a.test", "b.test")}

NO_PROTOCOL: TLSMemoryBIOProtocol = None  # type: ignore[assignment]


class Listener:
    """A listener with two certificates, and handshakes with it in memory."""

    def __init__(self, limit: int = 256) -> None:
        self.contexts = ServerContexts(limit)
        self.asks = True
        self.tls = ServerTls(Listening(None, None), self._present, self.contexts)

    def _present(self, _: Listening, sni: str | None) -> Presented | None:
        if sni == "broken.test":
            raise OSError("no such file")
        if sni == "none.test":
            return None
        certificate = CERTIFICATES.get(sni or "", CERTIFICATES["a.test"])
        return Presented(certificate, self.asks)

    def connect(
        self,
        sni: bytes | None,
        context: SSL.Context | None = None,
        session: SSL.Session | None = None,
    ) -> tuple[SSL.Connection, ServerConnection, int]:
        """Both sides after a handshake, and how many bytes the server has sent."""
        server = self.tls.serverConnectionForTLS(NO_PROTOCOL)
        assert isinstance(server, ServerConnection)
        server.set_accept_state()
        client = SSL.Connection(context or SSL.Context(SSL.TLS_METHOD), None)
        client.set_connect_state()
        if session is not None:
            client.set_session(session)
        if sni is not None:
            client.set_tlsext_host_name(sni)
        sent = 0
        for end, other in ((client, server), (server, client)) * 4:
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                data = end.bio_read(65536)
                sent += len(data) if end is server else 0
                other.bio_write(data)
        return client, server, sent


def tls_1_2() -> SSL.Context:
    """A client whose sessions are there as soon as the handshake is over."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize(
    ("sni", "shown"),
    [
        (b"a.test", "a.test"),
        (b"b.test", "b.test"),
        (b"B.Test", "b.test"),
        (b"c.test", "a.test"),
        (None, "a.test"),
    ],
)
def test_sni(version: int, sni: bytes | None, shown: str) -> None:
    """Each name has its certificate, in both versions of TLS; others have the first."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    client, server, _ = Listener().connect(sni, context)
    leaf = client.get_peer_certificate(as_cryptography=True)
    assert leaf == CERTIFICATES[shown].chain[0]
    assert leaf is not None
    assert server.leaf == leaf.public_bytes(Encoding.DER)
    assert server.sni == (None if sni is None else sni.decode().lower())


@pytest.mark.parametrize("asks", [True, False])
def test_client_certificate(asks: bool) -> None:  # noqa: FBT001 - a parameter
    """A client is asked for a certificate if the server that it reaches wants one."""
    listener = Listener()
    listener.asks = asks
    context = SSL.Context(SSL.TLS_METHOD)
    CERTIFICATES["b.test"].present_in(context)
    _, server, _ = listener.connect(b"a.test", context)
    assert (server.get_peer_certificate() is not None) == asks


@pytest.mark.parametrize("sni", [b"none.test", b"broken.test"])
def test_no_certificate(sni: bytes, logged_errors: LoggedErrors) -> None:
    """Without a certificate, the handshake fails, and other names are not touched."""
    listener = Listener()
    with pytest.raises(SSL.Error, match="no suitable"):
        listener.connect(sni)
    assert len(logged_errors.flush(OSError)) == (1 if sni == b"broken.test" else 0)
    client, *_ = listener.connect(b"b.test")
    leaf = client.get_peer_certificate(as_cryptography=True)
    assert leaf == CERTIFICATES["b.test"].chain[0]


def test_resumption() -> None:
    """A resumed session has the certificate that it began with."""
    listener, context = Listener(), tls_1_2()
    client, _, full = listener.connect(b"b.test", context)
    session = client.get_session()
    assert session is not None
    for sni in (b"b.test", b"a.test"):
        client, server, sent = listener.connect(sni, context, session)
        leaf = client.get_peer_certificate(as_cryptography=True)
        assert leaf is not None
        assert server.leaf == leaf.public_bytes(Encoding.DER)
        if sni == b"b.test":  # OpenSSL need not resume it for another name
            assert sent < full / 2


def test_no_resumption_after_a_change() -> None:
    """No session of before a change is resumed: it may have shown what is over."""
    listener, context = Listener(), tls_1_2()
    client, _, full = listener.connect(b"b.test", context)
    session = client.get_session()
    assert session is not None
    listener.contexts.forget_sessions()
    *_, sent = listener.connect(b"b.test", context, session)
    assert sent > full / 2


def test_few_contexts_are_kept() -> None:
    """The contexts of the certificates that were presented last are kept."""
    contexts = ServerContexts(2)
    a, b, c = (issue_for(f"{n}.test", CA).value for n in "abc")
    for each in a, b, c:
        assert contexts.find(each) is None
    first, second = contexts.find(a), contexts.find(b)
    assert None not in {first, second}
    assert contexts.find(a) is first
    contexts.find(c)
    assert contexts.find(a) is first
    assert contexts.find(b) is not second


def test_rare_certificates_need_no_context() -> None:
    """A certificate among many that are presented in turn is set on connections."""
    contexts = ServerContexts()
    many = [issue_for(f"{n}.test", CA).value for n in range(65)]
    for each in many * 2:
        assert contexts.find(each) is None


def test_a_chain_needs_a_context() -> None:
    """OpenSSL takes a chain from a context alone."""
    between = issue("Between", None, issuer=authority(), is_authority=True)
    assert ServerContexts().find(issue_for("a.test", between).value) is not None


def test_first_and_later_handshakes() -> None:
    """The same certificate is presented on the connection, and by a context."""
    listener = Listener()
    for _ in range(3):
        client, server, _ = listener.connect(b"b.test", tls_1_2())
        leaf = client.get_peer_certificate(as_cryptography=True)
        assert leaf is not None
        assert server.leaf == leaf.public_bytes(Encoding.DER)
