"""Which certificate and private key an identity presents, and which files are none."""

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL

from homeserver.net.tls.certificate import PrivateKey
from tests.support.certificates import authority, issue, issue_for
from tests.support.identity_folders import LEAF, another_key, load, pem, problems
from tests.support.tables import cases

RSA_KEY = rsa.generate_private_key(65537, 2048)


# The curves' object identifiers, in DER (RFC 5480).
P256 = bytes.fromhex("2a8648ce3d030107")
PRIME192V3 = bytes.fromhex("2a8648ce3d030103")


def write_pem(path: Path, label: str, der: bytes) -> None:
    """Write DER as PEM."""
    text = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN {label}-----\n{text}-----END {label}-----\n")


KEYS: list[tuple[str, Callable[[], PrivateKey]]] = [
    ("P-256", lambda: ec.generate_private_key(ec.SECP256R1())),
    ("P-384", lambda: ec.generate_private_key(ec.SECP384R1())),
    ("P-521", lambda: ec.generate_private_key(ec.SECP521R1())),
    ("RSA", lambda: RSA_KEY),
]


@cases("generate", KEYS)
def test_kinds_of_certificates(
    folder: Path, generate: Callable[[], PrivateKey]
) -> None:
    """The key of a certificate may be an EC or an RSA key."""
    issued = issue("own.example", [x509.DNSName("own.example")], key=generate())
    issued.write(folder)
    loaded = load(folder).certificate
    assert loaded.chain == (issued.certificate,)
    assert loaded.private_key.private_numbers() == issued.key.private_numbers()


def test_chain(folder: Path) -> None:
    """The certificates of the file are kept in its order, our own one first."""
    intermediate = issue("CA 2", None, issuer=authority(), is_authority=True)
    issued = issue_for("own.example", intermediate)
    issued.write(folder)
    assert load(folder).certificate.chain == (
        issued.certificate,
        intermediate.certificate,
    )


def test_text_around_certificates(folder: Path) -> None:
    """What other programs write between certificates is passed over."""
    (folder / "tls.crt").write_bytes(b"subject: CN=own.example\n" + LEAF.pem + b"\n#\n")
    assert load(folder).certificate.chain == (LEAF.certificate,)


def test_a_certificate_that_the_library_warns_of(folder: Path) -> None:
    """A certificate with a serial number that it should not have is presented."""
    serial = LEAF.certificate.serial_number
    encoded = serial.to_bytes((serial.bit_length() + 8) // 8, "big")
    der = LEAF.certificate.public_bytes(Encoding.DER)
    # Its first bit is the sign; what signed it has no part in what is tested here.
    negative = bytes([encoded[0] | 0x80]) + encoded[1:]
    write_pem(folder / "tls.crt", "CERTIFICATE", der.replace(encoded, negative, 1))
    assert load(folder).certificate.chain[0].public_key() == LEAF.key.public_key()


def not_pem(folder: Path) -> None:
    """Write a certificate file without a certificate."""
    (folder / "tls.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\n")


def key_for_certificate(folder: Path) -> None:
    """Write the private key where the certificate belongs."""
    (folder / "tls.crt").write_bytes(pem(LEAF.key))


def broken_certificate(folder: Path) -> None:
    """Write a certificate whose DER is cut off."""
    lines = LEAF.pem.splitlines(keepends=True)
    (folder / "tls.crt").write_bytes(b"".join([*lines[:2], *lines[-1:]]))


def no_certificate(folder: Path) -> None:
    """Remove the certificate."""
    (folder / "tls.crt").unlink()


def certificate_for_key(folder: Path) -> None:
    """Write the certificate where the private key belongs."""
    (folder / "tls.key").write_bytes(LEAF.pem)


def no_key(folder: Path) -> None:
    """Remove the private key."""
    (folder / "tls.key").unlink()


def key_with_password(folder: Path) -> None:
    """Write the private key as it must not be: encrypted."""
    (folder / "tls.key").write_bytes(pem(LEAF.key, b"password"))


def ed25519_key(folder: Path) -> None:
    """Write a private key that TLS peers of today do not take."""
    (folder / "tls.key").write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))


def unknown_curve_key(folder: Path) -> None:
    """Write a private key on a curve that the library does not have."""
    der = LEAF.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    write_pem(folder / "tls.key", "PRIVATE KEY", der.replace(P256, PRIME192V3))


def unknown_curve_certificate(folder: Path) -> None:
    """Write a certificate with a key on a curve that the library does not have."""
    der = LEAF.certificate.public_bytes(Encoding.DER)
    write_pem(folder / "tls.crt", "CERTIFICATE", der.replace(P256, PRIME192V3))


def key_of_another_kind(folder: Path) -> None:
    """Write an RSA key to an EC certificate."""
    (folder / "tls.key").write_bytes(pem(RSA_KEY))


def short_key(folder: Path) -> None:
    """Write a certificate with a key that today's TLS does not take."""
    key = rsa.generate_private_key(65537, 1024)
    issue("own.example", [x509.DNSName("own.example")], key=key).write(folder)


def chain_upside_down(folder: Path) -> None:
    """Write the chain with our own certificate last."""
    issuer = authority()
    issued = issue_for("own.example", issuer)
    issued.write(folder)
    (folder / "tls.crt").write_bytes(issuer.pem + issued.pem)


def curve_that_no_client_offers(curve: ec.EllipticCurve) -> Callable[[Path], None]:
    """Write a key and a certificate that OpenSSL takes and no handshake uses."""

    def write(folder: Path) -> None:
        key = ec.generate_private_key(curve)
        issued = issue("own.example", [x509.DNSName("own.example")], key=key)
        issued.write(folder)

    write.__name__ = curve.name
    return write


NOT_MATCHING = "tls.key is not the key of the first certificate in "

NO_CERTIFICATES: list[tuple[Callable[[Path], None], str]] = [
    (not_pem, "tls.crt has no PEM certificates in it"),
    (key_for_certificate, "tls.crt has no PEM certificates in it"),
    (broken_certificate, "tls.crt has no PEM certificates in it"),
    (no_certificate, "No such file or directory"),
    (certificate_for_key, "tls.key is not a PEM private key without a password"),
    (key_with_password, "tls.key is not a PEM private key without a password"),
    (unknown_curve_key, "Curve 1.2.840.10045.3.1.3 is not supported"),
    (unknown_curve_certificate, "Curve 1.2.840.10045.3.1.3 is not supported"),
    (no_key, "No such file or directory"),
    (ed25519_key, "tls.key is neither an EC nor an RSA key"),
    (short_key, "key too small"),
    (curve_that_no_client_offers(ec.SECP256K1()), "no client could connect"),
    (curve_that_no_client_offers(ec.SECP224R1()), "no client could connect"),
    (another_key, NOT_MATCHING),
    (key_of_another_kind, NOT_MATCHING),
    (chain_upside_down, NOT_MATCHING),
]


@pytest.mark.parametrize(
    ("spoil", "message"),
    NO_CERTIFICATES,
    ids=[spoil.__name__ for spoil, _ in NO_CERTIFICATES],
)
def test_no_certificate(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """A certificate or key that cannot be presented is refused with the reason."""
    spoil(folder)
    [problem] = problems(folder)
    assert problem.startswith("tls: ")
    assert message in problem


def shake_hands(server: SSL.Connection, client: SSL.Connection) -> None:
    """Carry the handshake's bytes to and fro until both sides are done."""
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        other = server if side is client else client
        try:
            side.do_handshake()
        except SSL.WantReadError:
            waiting.append(side)
        with contextlib.suppress(SSL.WantReadError):
            other.bio_write(side.bio_read(65536))


@pytest.mark.parametrize("key", [RSA_KEY, None], ids=["RSA", "EC"])
def test_present_in(key: PrivateKey | None) -> None:
    """A handshake shows our certificate and those that lead to a root."""
    intermediate = issue("CA 2", None, issuer=authority(), is_authority=True)
    issued = issue(
        "own.example", [x509.DNSName("own.example")], issuer=intermediate, key=key
    )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    issued.value.present_in(context)
    server = SSL.Connection(context)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    client.set_connect_state()
    shake_hands(server, client)
    shown = client.get_peer_cert_chain(as_cryptography=True)
    assert shown == [issued.certificate, intermediate.certificate]
