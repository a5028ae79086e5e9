"""A certificate with its chain and private key, as a TLS handshake presents it.

Rules: a certificate from `load_certificate` works: its private key is the leaf's,
OpenSSL accepts both, and a client completes a handshake with them.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


# Compared by identity: it is a key of tables that are read for each connection.
@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A chain and its private key, to be presented in TLS handshakes."""

    chain: Sequence[x509.Certificate]
    """The leaf first, then the intermediate certificates."""

    private_key: PrivateKey = field(repr=False)

    @property
    def leaf(self) -> bytes:
        """The DER of the leaf."""
        return self.chain[0].public_bytes(Encoding.DER)

    def present_in(self, context: SSL.Context) -> None:
        """Present this certificate and its chain in every handshake of `context`."""
        leaf, *others = self.chain
        context.use_certificate(leaf)
        for other in others:
            context.add_extra_chain_cert(other)
        context.use_privatekey(self.private_key)

    def present_on(self, connection: SSL.Connection) -> None:
        """Present this certificate on one connection, with the chain of its context."""
        connection.use_certificate(self.chain[0])
        connection.use_privatekey(self.private_key)

    @property
    def needs_context(self) -> bool:
        """Whether only a context presents it, as OpenSSL takes a chain from there."""
        return len(self.chain) > 1

    @property
    def names(self) -> list[str]:
        """The host names in the leaf's subjectAltName, as they are written there."""
        try:
            found = self.chain[0].extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
        except (x509.ExtensionNotFound, ValueError):  # none, or one that is no DER
            return []
        return found.value.get_values_for_type(x509.DNSName)


def load_certificate(certificate: Path, private_key: Path) -> Certificate:
    """Read a PEM chain, leaf first, and the PEM private key of its leaf.

    Raises `OSError`, `UnsupportedAlgorithm`, and `ValueError` with what is wrong.
    """
    try:
        with warnings.catch_warnings():
            # The library warns of oddities that the tools of other vendors put into
            # certificates; peers decide whether they accept this one.
            warnings.simplefilter("ignore")
            chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except ValueError:
        raise ValueError(f"{certificate} has no PEM certificates in it") from None
    try:
        key = load_pem_private_key(private_key.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise ValueError(
            f"{private_key} is not a PEM private key without a password"
        ) from None
    if not isinstance(key, PrivateKey):
        raise ValueError(  # noqa: TRY004 - what the file holds, not what we pass
            f"{private_key} is neither an EC nor an RSA key"
        )
    ours, theirs = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (key.public_key(), chain[0].public_key())
    )
    if ours != theirs:
        raise ValueError(
            f"{private_key} is not the key of the first certificate in {certificate}"
        )
    loaded = Certificate(tuple(chain), key)
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        loaded.present_in(context)
    except (SSL.Error, ValueError) as error:
        # For example a key that is too short.
        raise ValueError(f"OpenSSL does not accept {certificate}: {error}") from None
    try:
        _shake_hands(context)
    except SSL.Error as error:
        # For example a key on a curve that clients do not offer.
        raise ValueError(
            f"no client could connect to a server with {certificate}: {error}; "
            "an EC key on the curve P-256 works everywhere"
        ) from None
    return loaded


def _shake_hands(context: SSL.Context) -> None:
    """Complete a handshake of a server with `context` and an unverifying client.

    Raises `SSL.Error` if they have no common parameters.
    """
    server = SSL.Connection(context, None)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    client.set_connect_state()
    for end, other in ((client, server), (server, client)) * 2:
        with suppress(SSL.WantReadError):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            other.bio_write(end.bio_read(65536))
