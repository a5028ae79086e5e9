"""A listener's side of handshakes that presents one certificate to every client."""

from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.server import Listening, Presented, ServerContexts, ServerTls


class OneCertificate(ServerTls):
    """TLS of a listener with one certificate, which can be replaced."""

    def __init__(
        self, certificate: Certificate, *, asks_for_certificate: bool = True
    ) -> None:
        self._presented = Presented(certificate, asks_for_certificate)
        super().__init__(
            Listening(None, None), lambda *_: self._presented, ServerContexts()
        )

    def renew(self, certificate: Certificate) -> None:
        """Present another certificate from the next handshake on."""
        asks = self._presented.asks_for_certificate
        self._presented = Presented(certificate, asks)
        self._contexts.forget_sessions()
