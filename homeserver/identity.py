"""Who we are: server name, signing keys, certificate. A value, passed in.

Rules of the room: an identity that `load` returned can sign and can be presented:
its keys were read, its certificate is the private key's. Several may live in one
process, so nothing here is kept beside the value.
"""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import signedjson.key
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct
from nacl.signing import SigningKey as NaclSigningKey
from OpenSSL import SSL

from homeserver.config import Config, ConfigError, OldKey
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.keys import OldVerifyKey
from homeserver.protocol.names import ServerName, parse_key_id
from homeserver.protocol.signing import SigningKey, VerifyKey

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


class Identity(Struct, frozen=True):
    """One server: what it is called, and what it proves that with."""

    server_name: ServerName
    signing_keys: Sequence[SigningKey]
    """All of them sign."""

    old_verify_keys: Sequence[OldVerifyKey]
    certificate: Certificate


def load(path: Path, config: Config) -> Identity:
    """Read the files that the configuration at `path` names.

    Raises `ConfigError` with every mistake in them.
    """
    problems: list[str] = []
    signing_keys: list[SigningKey] = []
    old_keys: list[OldVerifyKey] = []
    certificate: Certificate | None = None
    try:
        signing_keys = _load_signing_keys(config.signing.key)
    except (OSError, ValueError) as error:
        problems.append(f"signing.key: {config.signing.key}: {error}")
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
        certificate = _load_certificate(config.tls.certificate, config.tls.private_key)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        problems.append(f"tls: {error}")
    if certificate is None or problems:
        raise ConfigError(path, problems)
    return Identity(config.server_name, signing_keys, old_keys, certificate)


def _load_signing_keys(path: Path) -> list[SigningKey]:
    """Read a signing key file: a line for each key, `ed25519 VERSION SEED`."""
    lines = path.read_text("ascii").splitlines()
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


def _load_certificate(certificate: Path, private_key: Path) -> Certificate:
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
