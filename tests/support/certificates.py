"""Authorities and certificates made on the spot, right ones and wrong ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.certificate import PrivateKey as Key


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and those that issued it, root last."""

    certificate: x509.Certificate
    key: Key
    issuers: Sequence[x509.Certificate] = ()

    @property
    def value(self) -> Certificate:
        """What an endpoint presents: without the root, which others must have."""
        return Certificate((self.certificate, *self.issuers[:-1]), self.key)

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path) -> None:
        """Write `tls.crt` and `tls.key`."""
        chain = b"".join(each.public_bytes(Encoding.PEM) for each in self.value.chain)
        (folder / "tls.crt").write_bytes(chain)
        (folder / "tls.key").write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def issue(
    common_name: str,
    names: Sequence[x509.GeneralName] | None,
    *,
    issuer: Issued | None = None,
    is_authority: bool = False,
    days: tuple[int, int] = (-1, 1),
    key: Key | None = None,
    purposes: Sequence[x509.ObjectIdentifier] = (),
) -> Issued:
    """A certificate, self-signed where there is no issuer.

    `names` is its subjectAltName, None for none; it is valid from `days[0]` to
    `days[1]` days from now; `purposes` is its extended key usage, if it has any.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(
            x509.BasicConstraints(ca=is_authority, path_length=None), critical=True
        )
    )
    if names is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    issuers = (issuer.certificate, *issuer.issuers) if issuer else ()
    return Issued(certificate, key, issuers)


def authority(common_name: str = "Test CA") -> Issued:
    """A root that can issue."""
    return issue(common_name, None, is_authority=True)


def issue_for(name: str, issuer: Issued | None = None) -> Issued:
    """A good certificate for a DNS name."""
    return issue(name[:64], [x509.DNSName(name)], issuer=issuer)


def dns(*names: str) -> list[x509.GeneralName]:
    """A subjectAltName of DNS names."""
    return [x509.DNSName(name) for name in names]


def ip(text: str) -> x509.GeneralName:
    """An iPAddress name."""
    return x509.IPAddress(ip_address(text))
