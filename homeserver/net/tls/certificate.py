"""A certificate with its chain and private key, as a TLS handshake presents it.

Rules: a certificate that `load_certificate` returned can be presented: its private key
is that of the leaf, OpenSSL takes both, and a client completes a handshake with them.
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


@dataclass(frozen=True, slots=True)
class Certificate:
    """What we show in a TLS handshake."""

    chain: Sequence[x509.Certificate]
    """Our own certificate first, then those that lead to a root."""

    private_key: PrivateKey = field(repr=False)

    @property
    def leaf(self) -> bytes:
        """The DER of our own certificate."""
        return self.chain[0].public_bytes(Encoding.DER)

    def present_in(self, context: SSL.Context) -> None:
        """Make every handshake of `context` show this certificate and its chain."""
        leaf, *others = self.chain
        context.use_certificate(leaf)
        for other in others:
            context.add_extra_chain_cert(other)
        context.use_privatekey(self.private_key)


def load_certificate(certificate: Path, private_key: Path) -> Certificate:
    """Read a PEM chain, leaf first, and the PEM private key of its leaf.

    Raises `OSError`, `UnsupportedAlgorithm`, and `ValueError` with what is wrong.
    """
    try:
        with warnings.catch_warnings():
            # The library warns of what other servers' tools have put in
            # certificates; whether ours is accepted is for the others to say.
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
        # A key that is too short for today, for example.
        raise ValueError(f"OpenSSL does not take {certificate}: {error}") from None
    try:
        _shake_hands(context)
    except SSL.Error as error:
        # A key on a curve that clients do not offer, for example.
        raise ValueError(
            f"no client could connect to a server with {certificate}: {error}; "
            "an EC key on the curve P-256 is understood everywhere"
        ) from None
    return loaded


def _shake_hands(context: SSL.Context) -> None:
    """Let a client that takes every certificate meet a server with `context`.

    Raises `SSL.Error` where they do not come to terms.
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
