"""What an identity is read from, and every file that is none."""

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path

import nacl.signing
import pytest
import signedjson.key
import signedjson.sign
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL

from homeserver.config.values import ConfigError, OldKey, ServerConfig, Signing, Tls
from homeserver.identity import identity
from homeserver.identity.identity import Identity
from homeserver.net.tls.certificate import PrivateKey
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import ServerName, parse_key_id
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import VerifyKey, sign
from tests.support.certificates import authority, issue, issue_for
from tests.support.tables import cases

NAME = ServerName.parse("own.example")
SEED = encode_base64(b"s" * 32)
OTHER_SEED = encode_base64(b"t" * 32)
OLD_KEY = VerifyKey(parse_key_id("ed25519:a_0"), b"o" * 32)
OLD = OldKey("ed25519:a_0", encode_base64(OLD_KEY.key), 1_500_000_000_000)

LEAF = issue_for("own.example")
RSA_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a good identity."""
    (tmp_path / "signing.key").write_text(f"ed25519 a_1 {SEED}\n")
    LEAF.write(tmp_path)
    return tmp_path


def load(folder: Path, *old_keys: OldKey) -> Identity:
    """The identity in a folder."""
    return identity.load(folder / "homeserver.toml", configuration(folder, *old_keys))


def configuration(folder: Path, *old_keys: OldKey) -> ServerConfig:
    """The server that `homeserver.toml` in a folder would have."""
    return ServerConfig(
        server_name=NAME,
        tls=Tls(certificate=folder / "tls.crt", private_key=folder / "tls.key"),
        signing=Signing(key=folder / "signing.key", old_keys=old_keys),
    )


def problems(folder: Path, *old_keys: OldKey) -> list[str]:
    """What is wrong with the identity in a folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, *old_keys)
    assert caught.value.path == folder / "homeserver.toml"
    return caught.value.problems


def pem(key: PrivateKey | ed25519.Ed25519PrivateKey, password: bytes = b"") -> bytes:
    """A private key as it stands in a file."""
    return key.private_bytes(
        Encoding.PEM,
        PrivateFormat.PKCS8,
        BestAvailableEncryption(password) if password else NoEncryption(),
    )


# The curves' object identifiers, in DER (RFC 5480).
P256 = bytes.fromhex("2a8648ce3d030107")
PRIME192V3 = bytes.fromhex("2a8648ce3d030103")


def write_pem(path: Path, label: str, der: bytes) -> None:
    """Write DER as PEM."""
    text = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN {label}-----\n{text}-----END {label}-----\n")


def test_load(folder: Path) -> None:
    """An identity is its name, its signing keys and its certificate."""
    loaded = load(folder)
    assert loaded.server_name == NAME
    assert [key.key_id for key in loaded.signing_keys] == ["ed25519:a_1"]
    assert bytes(loaded.signing_keys[0].key) == b"s" * 32
    assert loaded.old_verify_keys == []
    assert loaded.certificate.chain == (LEAF.certificate,)
    assert pem(loaded.certificate.private_key) == pem(LEAF.key)
    assert loaded.certificate.leaf == LEAF.certificate.public_bytes(Encoding.DER)


def test_secrets_are_not_shown(folder: Path) -> None:
    """The text of an identity, as a traceback may show it, has no private key."""
    loaded = load(folder)
    assert "SigningKey object" not in repr(loaded)
    assert "PrivateKey" not in repr(loaded)


def test_what_we_sign_signedjson_verifies(folder: Path) -> None:
    """The key that was loaded is the one that the reference implementation reads."""
    with (folder / "signing.key").open() as file:
        [theirs] = signedjson.key.read_signing_keys(file)
    signed = sign({"a": 1}, NAME, load(folder).signing_keys)
    signedjson.sign.verify_signed_json(
        signed, "own.example", signedjson.key.get_verify_key(theirs)
    )


SIGNING_KEY_FILES: list[tuple[str, list[str]]] = [
    (f"ed25519 1 {SEED}", ["ed25519:1"]),
    (f"ed25519 1 {SEED}=\n", ["ed25519:1"]),
    (f"  ed25519\ta_Z9  {SEED}\r\n", ["ed25519:a_Z9"]),
    (f"ed25519 b {SEED}\ned25519 a {OTHER_SEED}\n", ["ed25519:b", "ed25519:a"]),
    (f"ed25519 a {SEED}\ned25519 b {SEED}\n", ["ed25519:a", "ed25519:b"]),
]


@pytest.mark.parametrize(("content", "key_ids"), SIGNING_KEY_FILES)
def test_signing_keys(folder: Path, content: str, key_ids: list[str]) -> None:
    """Each line of the signing key file is a key, in this order."""
    (folder / "signing.key").write_text(content)
    assert [key.key_id for key in load(folder).signing_keys] == key_ids


LINE = "is not `ed25519 VERSION SEED`"

NO_SIGNING_KEY_FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "there is no key in it; a line is `ed25519 VERSION SEED`"),
    ("blank line", f"ed25519 a {SEED}\n\n".encode(), f"line 2 {LINE}"),
    ("two words", b"ed25519 a", f"line 1 {LINE}"),
    ("PEM", b"\n-----BEGIN PRIVATE KEY-----\nMC4=\n", "is a PEM file, as TLS keys are"),
    ("four words", f"ed25519 a {SEED} b".encode(), f"line 1 {LINE}"),
    ("another algorithm", f"rsa a {SEED}".encode(), "line 1: Unsupported algorithm"),
    ("hyphen", f"ed25519 a-1 {SEED}".encode(), "line 1: not a key ID: 'ed25519:a-1'"),
    ("short seed", b"ed25519 a AAAA", "line 1: The seed must be exactly 32 bytes"),
    ("no base64", b"ed25519 a A", "line 1: "),
    (
        "same version twice",
        f"ed25519 a {SEED}\ned25519 a {OTHER_SEED}".encode(),
        "two of its keys have the same version",
    ),
    ("no ASCII", b"ed25519 \xff \xff", "'ascii' codec can't decode byte 0xff"),
]


@cases("content message", NO_SIGNING_KEY_FILES)
def test_no_signing_keys(folder: Path, content: bytes, message: str) -> None:
    """A signing key file is refused with the line, and what is wrong with it."""
    path = folder / "signing.key"
    path.write_bytes(content)
    [problem] = problems(folder)
    assert problem.startswith(f"signing.key: {path}: {message}")


def test_the_seed_is_not_told(folder: Path) -> None:
    """What is said of a bad line has no part of the secret in it."""
    (folder / "signing.key").write_text(f"ed25519 a {SEED[:-2]}")
    assert SEED[:4] not in "".join(problems(folder))


def test_old_keys(folder: Path) -> None:
    """An old key is a public key and the time when it stopped being used."""
    loaded = load(folder, OLD)
    assert loaded.old_verify_keys == [OldVerifyKey(OLD_KEY, 1_500_000_000_000)]


NO_OLD_KEYS: list[tuple[str, list[OldKey], list[str]]] = [
    ("no ed25519 key", [OldKey("rsa:a", "", 1)], ["not a key ID: 'rsa:a'"]),
    ("no base64", [OldKey("ed25519:b", "!", 1)], ["not base64: '!'"]),
    (
        "short",
        [OldKey("ed25519:b", "AAAA", 1)],
        ["key ed25519:b has 3 bytes; ed25519 keys have 32"],
    ),
    (
        "two bad ones",
        [OldKey("ed25519:b", "AAAA", 1), OldKey("ed25519:c", "", 1)],
        ["key ed25519:b has 3 bytes", "key ed25519:c has 0 bytes"],
    ),
    (
        "current",
        [OldKey("ed25519:a_1", OLD.key, 1)],
        ["ed25519:a_1 is there twice, or is a current key too"],
    ),
    ("twice", [OLD, OLD], ["ed25519:a_0 is there twice, or is a current key too"]),
]


@cases("old_keys messages", NO_OLD_KEYS)
def test_no_old_keys(folder: Path, old_keys: list[OldKey], messages: list[str]) -> None:
    """Each old key that is none, or that is not old, is refused."""
    said = problems(folder, *old_keys)
    assert len(said) == len(messages)
    for problem, message in zip(said, messages, strict=True):
        assert problem.startswith(f"signing.old_keys: {message}")


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


def another_key(folder: Path) -> None:
    """Write the private key of another certificate."""
    (folder / "tls.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))


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


def test_no_signing_key_file(folder: Path) -> None:
    """A file that went away since the configuration was read is a mistake too."""
    (folder / "signing.key").unlink()
    [problem] = problems(folder)
    assert problem.startswith("signing.key: ")
    assert "No such file or directory" in problem


def test_all_problems_at_once(folder: Path) -> None:
    """What is wrong in one file does not hide what is wrong in the next."""
    (folder / "signing.key").write_text("")
    another_key(folder)
    said = problems(folder, OldKey("ed25519:b", "", 1))
    assert [problem.partition(":")[0] for problem in said] == [
        "signing.key",
        "signing.old_keys",
        "tls",
    ]


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


def test_a_signing_key_signs_like_its_seed(folder: Path) -> None:
    """The seed of the file is the private key of RFC 8032."""
    message = b"message"
    [key] = load(folder).signing_keys
    expected = nacl.signing.SigningKey(b"s" * 32).sign(message).signature
    assert key.sign(message) == expected
    assert key.verify_key.verify(message, expected)
