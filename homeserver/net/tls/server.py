"""The server's side of each handshake, and the certificate that it presented.

Rules: any client certificate completes the handshake. It is checked later, against the
origin of a request.

Specification: Server-server API, "TLS".
"""

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from homeserver.net.tls.certificate import Certificate


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The server's side of each handshake; its certificate can be replaced."""

    def __init__(self, certificate: Certificate, *, asks_for_certificate: bool) -> None:
        self._asks_for_certificate = asks_for_certificate
        self.renew(certificate)

    def renew(self, certificate: Certificate) -> None:
        """Present `certificate` from the next handshake on."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        # An idle connection has no buffers then: 28 KB of memory instead of 52.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Session tickets are on; OpenSSL needs an ID for them. Clients keep them: a
        # cache here would be memory that anyone can fill.
        context.set_session_id(b"homeserver")
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self._asks_for_certificate:
            # Any certificate is accepted here; it is checked against the origin of a
            # request, and most requests need none.
            context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        certificate.present_in(context)
        self._context = context
        self._leaf = certificate.leaf

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As `IOpenSSLServerConnectionCreator`: the connection to shake hands on."""
        return _Connection(self._context, self._leaf)


class _Connection(SSL.Connection):
    """The server's side of one handshake, with the certificate that it presents.

    Asking OpenSSL for the certificate would encode it again for each request.
    """

    def __init__(self, context: SSL.Context, leaf: bytes) -> None:
        super().__init__(context, None)
        self.leaf = leaf


def presented_on(transport: object) -> bytes | None:
    """The DER of the certificate presented on a connection; None without TLS."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    handle: _Connection = transport.getHandle()
    return handle.leaf
