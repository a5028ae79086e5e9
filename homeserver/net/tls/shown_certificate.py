"""The certificate that the client of an inbound connection presented.

Rules: nothing is judged here. The handshake proves that the client has its private key.
"""

from collections.abc import Sequence

from msgspec import Struct
from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol


class ShownCertificate(Struct, frozen=True):
    """The certificate of the client of a connection, which has its private key."""

    leaf: crypto.X509
    chain: Sequence[crypto.X509] = ()
    """The intermediate certificates that the client sent."""

    @classmethod
    def on(cls, transport: object) -> "ShownCertificate | None":
        """The client certificate of a connection; None if it has none."""
        if not isinstance(transport, TLSMemoryBIOProtocol):
            return None
        leaf = transport.getPeerCertificate()
        if leaf is None:
            return None
        handle: SSL.Connection = transport.getHandle()
        return cls(leaf, handle.get_peer_cert_chain() or ())

    @property
    def sha256(self) -> str:
        """The fingerprint of the leaf, in hexadecimal."""
        return self.leaf.digest("sha256").decode("ascii").replace(":", "").lower()
