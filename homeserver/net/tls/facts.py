"""The TLS of one connection, as a record shows it.

Rules: nothing is decided by these facts.
"""

from functools import lru_cache

from OpenSSL import SSL, crypto
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.net.exchange import TlsFacts


def facts_of(transport: object) -> TlsFacts | None:
    """The TLS of a connection after its handshake; None without TLS, or at its end."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    handle: SSL.Connection | None = transport.getHandle()
    if handle is None:
        return None
    leaf = transport.getPeerCertificate()
    certificate = None
    if leaf is not None:
        certificate = _one(crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf))
    return TlsFacts(
        handle.get_protocol_version_name(),
        handle.get_cipher_name(),
        _text(handle.get_servername()),
        _text(handle.get_alpn_proto_negotiated()),
        certificate,
    )


# A record has thousands of connections to a few servers, and half a kilobyte for each
# certificate. OpenSSL takes none of more than a hundred kilobytes.
@lru_cache(64)
def _one(certificate: bytes) -> bytes:
    """The same object for equal certificates that were seen lately."""
    return certificate


def _text(name: bytes | None) -> str | None:
    return name.decode("ascii", "backslashreplace") if name else None
