"""The certificate authority of a lab.

Rules: a certificate follows from the seed, its names and its form: the same lab issues
the same bytes again. Nothing is kept of what was issued. Dates are fixed, so that no
clock is needed; they are valid from 2020 to 2049.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from homeserver.lab.seed import Seed
from homeserver.net.tls.certificate import Certificate, PrivateKey

VALID_FROM = datetime(2020, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(2049, 12, 31, tzinfo=UTC)  # RFC 5280: the last year of UTCTime

SERVER_AND_CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

_MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name

_LEAF_KEY = ("leaf",)
"""The label of the key that the certificates share.

Deriving one for each name would take as long as signing the certificate.
"""


class Issuer(Struct, frozen=True):
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Form(Struct, frozen=True):
    """What a certificate of a server looks like; by default, a good one."""

    names: Sequence[x509.GeneralName] | None
    """Its subjectAltName; None for a certificate without one."""

    common_name: str
    dates: tuple[datetime, datetime] = (VALID_FROM, VALID_UNTIL)
    purposes: Sequence[x509.ObjectIdentifier] = SERVER_AND_CLIENT
    label: str = ""
    """Distinguishes certificates that are otherwise equal: they differ in the serial
    number."""


class Authority:
    """A root, an intermediate authority below it, and what they issue."""

    def __init__(self, seed: Seed, label: str = "lab") -> None:
        """`label` distinguishes authorities of one seed."""
        self.seed = seed
        self._label = label
        root = self._build_issuer("root", None)
        self.root = root
        self._intermediate: Issuer | None = None
        self._leaf_key = seed.tls_key(label, *_LEAF_KEY)

    @property
    def pem(self) -> str:
        """The root certificate: what a server under test has to trust."""
        return self.root.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def intermediate(self) -> Issuer:
        """An authority that the root certified."""
        if self._intermediate is None:
            self._intermediate = self._build_issuer("intermediate", self.root)
        return self._intermediate

    def issue(self, *hosts: str, label: str = "") -> Certificate:
        """A good certificate for hosts, each a DNS name or an IP address."""
        return self.issue_as(form_of(*hosts, label=label))

    def issue_below(self, *hosts: str, label: str = "") -> Certificate:
        """A good certificate for hosts with an intermediate one in its chain."""
        form = form_of(*hosts, label=f"below {label}")
        leaf = self.issue_as(form, self.intermediate)
        return Certificate((*leaf.chain, self.intermediate.certificate), self._leaf_key)

    def issue_as(
        self, form: Form, issuer: Issuer | None = None, key: PrivateKey | None = None
    ) -> Certificate:
        """A certificate of any form; from the root unless `issuer` is another.

        `key` is the leaf's, by default the one that all leaves share.
        """
        key = key or self._leaf_key
        return Certificate((self._sign(form, issuer or self.root, key),), key)

    def issue_to_others(self, hosts: Sequence[str]) -> Certificate:
        """A certificate for several hosts with a key of its own.

        It is for a server that is not the lab's.
        """
        key = self.seed.tls_key(self._label, "others", *hosts)
        return self.issue_as(form_of(*hosts), key=key)

    def self_signed(self, form: Form) -> Certificate:
        """A certificate that no authority issued."""
        subject = _subject(form.common_name)
        builder = self._builder(form, self._leaf_key).issuer_name(subject)
        return Certificate((_sign(builder, self._leaf_key),), self._leaf_key)

    def certify(
        self, name: str, constraints: x509.NameConstraints | None = None
    ) -> Issuer:
        """Another intermediate authority, which may be limited to some names."""
        return self._build_issuer(name, self.root, constraints)

    def _sign(self, form: Form, issuer: Issuer, key: PrivateKey) -> x509.Certificate:
        builder = self._builder(form, key).issuer_name(issuer.certificate.subject)
        return _sign(builder, issuer.key)

    def _builder(self, form: Form, key: PrivateKey) -> x509.CertificateBuilder:
        names = [] if form.names is None else [str(name) for name in form.names]
        serial = self.seed.serial_number(
            self._label, form.label, form.common_name, *names
        )
        not_before, not_after = form.dates
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(form.common_name))
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(_LEAF, critical=True)
        )
        if form.names is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(form.names), critical=False
            )
        return builder.add_extension(
            x509.ExtendedKeyUsage(form.purposes), critical=False
        )

    def _build_issuer(
        self,
        name: str,
        issuer: Issuer | None,
        constraints: x509.NameConstraints | None = None,
    ) -> Issuer:
        key = self.seed.tls_key(self._label, name)
        subject = _subject(f"{self._label} {name} authority (tests only)")
        public = key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(public)
            .serial_number(self.seed.serial_number(self._label, name))
            .not_valid_before(VALID_FROM)
            .not_valid_after(VALID_UNTIL)
            .add_extension(_AUTHORITY, critical=True)
            .add_extension(_AUTHORITY_USAGE, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public), critical=False
            )
        )
        if constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
        return Issuer(_sign(builder, issuer.key if issuer else key), key)


_LEAF = x509.BasicConstraints(ca=False, path_length=None)
_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)

# Strict clients demand it of an authority (RFC 5280, section 4.2.1.3).
_AUTHORITY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def form_of(*hosts: str, label: str = "") -> Form:
    """The form of a good certificate for hosts, of which the first is its subject."""
    return Form([general_name(host) for host in hosts], hosts[0], label=label)


def general_name(host: str) -> x509.GeneralName:
    """How a certificate names a host; raises `ValueError` if it cannot."""
    try:
        return x509.IPAddress(ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def chain_pem(certificate: Certificate) -> str:
    """The certificates of a chain, leaf first."""
    return "".join(
        each.public_bytes(Encoding.PEM).decode("ascii") for each in certificate.chain
    )


def key_pem(certificate: Certificate) -> str:
    """The private key of the leaf, without a password."""
    return certificate.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode("ascii")


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])]
    )


def _sign(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    # Strict clients demand it (RFC 5280, section 4.2.1.1).
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
        critical=False,
    )
    # RFC 6979: the same certificate gets the same signature.
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
