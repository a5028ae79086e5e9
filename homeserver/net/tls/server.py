"""The server's side of each handshake, and the certificate that it presented.

Rules: any certificate of a client completes the handshake. Whose it is, is judged
later, beside the origin of a request.

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
        # Session tickets are on; OpenSSL wants a name for what they belong to. The
        # client keeps them: kept here, they would be memory that strangers fill.
        context.set_session_id(b"homeserver")
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self._asks_for_certificate:
            # Whatever is shown is taken: it is judged beside a request's origin, and
            # most requests need none.
            context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        certificate.present_in(context)
        self._context = context
        self._leaf = certificate.leaf

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As Twisted asks for it: the connection on which the handshake will be."""
        return _Connection(self._context, self._leaf)


class _Connection(SSL.Connection):
    """The server's side of one handshake, which knows what it shows.

    To ask OpenSSL would be to have it write the certificate anew for each request.
    """

    def __init__(self, context: SSL.Context, leaf: bytes) -> None:
        super().__init__(context, None)
        self.leaf = leaf


def presented_on(transport: object) -> bytes | None:
    """The DER of the certificate that we show on a connection; None without TLS."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    handle: _Connection = transport.getHandle()
    return handle.leaf
