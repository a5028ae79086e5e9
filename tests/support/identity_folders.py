"""A folder with the files of an identity, and what is wrong with one."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from homeserver.config.values import ConfigError, OldKey, ServerConfig, Signing, Tls
from homeserver.identity import identity
from homeserver.identity.identity import Identity
from homeserver.net.tls.certificate import PrivateKey
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for

NAME = ServerName.parse("own.example")
SEED = encode_base64(b"s" * 32)

LEAF = issue_for("own.example")


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


def another_key(folder: Path) -> None:
    """Write the private key of another certificate."""
    (folder / "tls.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
