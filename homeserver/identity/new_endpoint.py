"""The files of a new endpoint: configuration, signing key, certificate, token.

Rules: nothing that exists is ever overwritten, and files with secrets are created with
access for their owner alone. Where one cannot be written, those written before it are
removed: a certificate without its key would stop the next attempt. No signal comes
between them.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from ipaddress import ip_address
from pathlib import Path

import signedjson.key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homeserver.identity.new_file import write_new
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.net.interruptions import postponed
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName

# A self-signed certificate is trusted by the key that signs our key document, not by
# its dates, which need only be wide.
_VALIDITY = timedelta(days=3650)
_CLOCK_SKEW = timedelta(days=1)

_MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name

# The modes of the files, before the umask.
_FILES = {
    "homeserver.toml": 0o600,  # a password of a database may be in it
    "signing.key": 0o600,
    "tls.crt": 0o644,
    "tls.key": 0o600,
    "control.token": 0o600,
}

_CONFIGURATION = """\
# A Matrix federation endpoint. Every key that is not here has a default; the
# commented sample with all of them is conf/homeserver.toml in the source.

server_name = "{server_name}"
listen = "{listen}"

[control]
listen = "{control}"
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a new endpoint."""

    server_name: ServerName
    listen: SocketAddress
    control: SocketAddress
    allow: Sequence[AddressRange] = ()
    control_hosts: Sequence[str] = ()


def listen_for(server_name: ServerName) -> SocketAddress:
    """The default address of a server: at the port in its name, or 8448.

    For a name of the loopback interface it is the loopback address, else all addresses.
    """
    port = server_name.port or DEFAULT_PORT
    host = "127.0.0.1" if server_name.host == "localhost" else server_name.host
    if server_name.is_ip or host != server_name.host:
        address = ip_address(host)
        if address.is_loopback:
            return SocketAddress(host, port)
        if address.version == 6:
            return SocketAddress("::", port)
    return SocketAddress("0.0.0.0", port)  # noqa: S104 - for other servers


def create(directory: Path, settings: Settings) -> list[Path]:
    """Write the files of a new endpoint into `directory`, which is made if missing.

    Returns their paths. Raises `FileExistsError` if one exists; then nothing was
    written.
    """
    _make(directory)
    for name in _FILES:
        if os.path.lexists(directory / name):
            raise FileExistsError(f"{directory / name} is there already")
    return complete(directory, settings)


def complete(directory: Path, settings: Settings) -> list[Path]:
    """Write the missing files of an endpoint into `directory`; returns their paths.

    Existing keys, certificates and tokens are kept. Raises `OSError` if one cannot be
    written; then none is.
    """
    certificate, private_key = _build_certificate(settings.server_name)
    contents = {
        "homeserver.toml": _build_configuration(settings),
        "signing.key": _build_signing_key(),
        "tls.crt": certificate,
        "tls.key": private_key,
        "control.token": secrets.token_urlsafe(32).encode() + b"\n",
    }
    _make(directory)
    missing = [
        directory / name for name in _FILES if not os.path.lexists(directory / name)
    ]
    # The configuration is written last: the files that it names exist by then.
    with postponed(), ExitStack() as on_failure:
        for path in reversed(missing):
            write_new(path, contents[path.name], _FILES[path.name])
            on_failure.callback(path.unlink, missing_ok=True)
        on_failure.pop_all()
    return missing


def _make(directory: Path) -> None:
    """Make a directory for its owner alone; an existing one is not changed."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _build_configuration(settings: Settings) -> bytes:
    text = _CONFIGURATION.format(
        server_name=settings.server_name,
        listen=settings.listen,
        control=settings.control,
    )
    if settings.control_hosts:
        hosts = ", ".join(f'"{each}"' for each in settings.control_hosts)
        text += f"hosts = [{hosts}]\n"
    if settings.allow:
        ranges = ", ".join(f'"{each}"' for each in settings.allow)
        text += f"\n[network]\nallow = [{ranges}]\n"
    return text.encode()


def _build_signing_key() -> bytes:
    # Key IDs are remembered by other servers for ever: a new key needs a new one.
    version = "a_" + secrets.token_hex(3)
    text = StringIO()
    signedjson.key.write_signing_keys(
        text, [signedjson.key.generate_signing_key(version)]
    )
    return text.getvalue().encode("ascii")


def _build_certificate(server_name: ServerName) -> tuple[bytes, bytes]:
    """A self-signed certificate for the host of `server_name`, and its key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    host = server_name.host
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, host[:_MAX_COMMON_NAME])]
    )
    alternative: x509.GeneralName = x509.DNSName(host)
    if server_name.is_ip:
        alternative = x509.IPAddress(ip_address(host))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
