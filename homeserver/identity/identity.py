"""The identity of a server: its name, signing keys and certificate. A value.

Rules: an identity from `load` is complete: its keys were read, and its certificate
matches the private key. A process has several, so no state is kept beside the value.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import Struct
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.config.values import Config, ConfigError, OldKey, ServerConfig
from homeserver.net.system_errors import in_words
from homeserver.net.tls.certificate import Certificate, load_certificate
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName, parse_key_id
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey


class Identity(Struct, frozen=True):
    """The name of a server, and its proofs."""

    server_name: ServerName
    signing_keys: Sequence[SigningKey]
    """All of them sign."""

    old_verify_keys: Sequence[OldVerifyKey]
    certificate: Certificate

    def proves_as(self, other: Self) -> bool:
        """Whether keys and certificate are those of `other`."""
        return (
            self.certificate.chain == other.certificate.chain
            and self.old_verify_keys == other.old_verify_keys
            and [key.verify_key for key in self.signing_keys]
            == [key.verify_key for key in other.signing_keys]
        )


def load_all(path: Path, config: Config) -> dict[ServerName, Identity]:
    """The identities of all servers; raises `ConfigError` with every mistake."""
    found: dict[ServerName, Identity] = {}
    problems: list[str] = []
    for server in config.servers:
        where = f"[[servers]] {server.server_name}: " if len(config.servers) > 1 else ""
        try:
            found[server.server_name] = load(path, server)
        except ConfigError as error:
            problems += [f"{where}{problem}" for problem in error.problems]
    if problems:
        raise ConfigError(path, problems)
    return found


def load(path: Path, config: ServerConfig) -> Identity:
    """Read the files that the configuration at `path` names for a server.

    Raises `ConfigError` with every mistake in them.
    """
    problems: list[str] = []
    signing_keys: list[SigningKey] = []
    old_keys: list[OldVerifyKey] = []
    certificate: Certificate | None = None
    try:
        signing_keys = _load_signing_keys(config.signing.key)
    except (OSError, ValueError) as error:
        problems.append(f"signing.key: {config.signing.key}: {in_words(error)}")
    for old in config.signing.old_keys:
        try:
            old_keys.append(_parse_old_key(old))
        except ProtocolError as error:
            problems.append(f"signing.old_keys: {error}")
    ids = [k.key_id for k in signing_keys] + [k.verify_key.key_id for k in old_keys]
    problems += [
        f"signing.old_keys: {key_id} is there twice, or is a current key too"
        for key_id in sorted({key_id for key_id in ids if ids.count(key_id) > 1})
    ]
    try:
        certificate = load_certificate(config.tls.certificate, config.tls.private_key)
    except OSError as error:
        problems.append(f"tls: {error.filename}: {in_words(error)}")
    except (ValueError, UnsupportedAlgorithm) as error:
        problems.append(f"tls: {error}")
    if certificate is None or problems:
        raise ConfigError(path, problems)
    return Identity(config.server_name, signing_keys, old_keys, certificate)


def _load_signing_keys(path: Path) -> list[SigningKey]:
    """Read a signing key file: a line for each key, `ed25519 VERSION SEED`."""
    # A tenth of the start of a lab, whose servers have no such file.
    import signedjson.key  # noqa: PLC0415

    lines = path.read_text("ascii").splitlines()
    if any(line.startswith("-----BEGIN ") for line in lines):
        raise ValueError(
            "is a PEM file, as TLS keys are; a signing key is a line `ed25519 VERSION "
            "SEED`, which `homeserver init` makes"
        )
    loaded: list[SigningKey] = []
    for number, line in enumerate(lines, 1):
        if len(line.split()) != 3:
            raise ValueError(f"line {number} is not `ed25519 VERSION SEED`")
        try:
            [key] = signedjson.key.read_signing_keys([line])
            key_id = parse_key_id(f"{key.alg}:{key.version}")
        except (ValueError, ProtocolError) as error:
            raise ValueError(f"line {number}: {error}") from None
        loaded.append(SigningKey(key_id, NaclSigningKey(key.encode())))
    if not loaded:
        raise ValueError("there is no key in it; a line is `ed25519 VERSION SEED`")
    if len({key.key_id for key in loaded}) != len(loaded):
        raise ValueError("two of its keys have the same version")
    return loaded


def _parse_old_key(old: OldKey) -> OldVerifyKey:
    return OldVerifyKey(VerifyKey.parse(parse_key_id(old.id), old.key), old.expired_ts)
