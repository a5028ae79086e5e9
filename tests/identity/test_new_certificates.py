"""The certificate of a new endpoint, and its private key."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homeserver.identity import new_endpoint
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName

LISTEN = SocketAddress("0.0.0.0", 8448)
CONTROL = SocketAddress("127.0.0.1", 8008)


def create(folder: Path, name: str = "own.example") -> None:
    """Create an endpoint of a name."""
    own = ServerName.parse(name)
    new_endpoint.create(folder, new_endpoint.Settings(own, LISTEN, CONTROL))


def read_certificate(folder: Path) -> x509.Certificate:
    """The certificate in a folder."""
    [certificate] = x509.load_pem_x509_certificates((folder / "tls.crt").read_bytes())
    return certificate


DNS_NAMES: list[tuple[str, str]] = [
    ("own.example", "own.example"),
    ("own.example:8449", "own.example"),
    ("localhost", "localhost"),
    ("Own.Example", "Own.Example"),
    (".".join(["a" * 63] * 3), ".".join(["a" * 63] * 3)),
]
ADDRESSES: list[tuple[str, str]] = [
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.1:8449", "192.0.2.1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:DB8::1]:8449", "2001:db8::1"),
]


def alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """What a certificate says that it is for."""
    extension = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return list(extension.value)


@pytest.mark.parametrize(("name", "host"), DNS_NAMES)
def test_certificate_of_a_name(tmp_path: Path, name: str, host: str) -> None:
    """The certificate is for the DNS name, without the port."""
    create(tmp_path, name)
    assert alternatives(read_certificate(tmp_path)) == [x509.DNSName(host)]


@pytest.mark.parametrize(("name", "host"), ADDRESSES)
def test_certificate_of_an_address(tmp_path: Path, name: str, host: str) -> None:
    """The certificate is for the IP address where the server name is one."""
    create(tmp_path, name)
    address = x509.IPAddress(ip_address(host))
    assert alternatives(read_certificate(tmp_path)) == [address]


def test_certificate(tmp_path: Path) -> None:
    """The certificate is a self-signed one of an EC P-256 key, for ten years."""
    create(tmp_path)
    certificate = read_certificate(tmp_path)
    certificate.verify_directly_issued_by(certificate)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "own.example"
    # A day ago, for those whose clocks are behind.
    begin = datetime.now(UTC) - timedelta(days=1)
    lasting = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lasting == timedelta(days=3651)
    assert abs(certificate.not_valid_before_utc - begin) < timedelta(hours=1)


def test_certificate_usage(tmp_path: Path) -> None:
    """The certificate serves both ends of a connection, and issues no others."""
    create(tmp_path)
    extensions = read_certificate(tmp_path).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(usage.value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    # RFC 5280: what has to be understood, and what is an offer.
    assert [each.oid for each in extensions if each.critical] == [constraints.oid]


def test_private_key(tmp_path: Path) -> None:
    """The private key is the certificate's, without a password."""
    create(tmp_path)
    key = load_pem_private_key((tmp_path / "tls.key").read_bytes(), None)
    assert key.public_key() == read_certificate(tmp_path).public_key()
