"""What an identity is read from, and which signing keys are none."""

from pathlib import Path

import nacl.signing
import pytest
import signedjson.key
import signedjson.sign
from cryptography.hazmat.primitives.serialization import Encoding

from homeserver.config.values import OldKey
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import parse_key_id
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import VerifyKey, sign
from tests.support.identity_folders import (
    LEAF,
    NAME,
    SEED,
    another_key,
    load,
    pem,
    problems,
)
from tests.support.tables import cases

OTHER_SEED = encode_base64(b"t" * 32)
OLD_KEY = VerifyKey(parse_key_id("ed25519:a_0"), b"o" * 32)
OLD = OldKey("ed25519:a_0", encode_base64(OLD_KEY.key), 1_500_000_000_000)


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


def test_a_signing_key_signs_like_its_seed(folder: Path) -> None:
    """The seed of the file is the private key of RFC 8032."""
    message = b"message"
    [key] = load(folder).signing_keys
    expected = nacl.signing.SigningKey(b"s" * 32).sign(message).signature
    assert key.sign(message) == expected
    assert key.verify_key.verify(message, expected)
