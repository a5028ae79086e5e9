"""Configurations of `own.example`, and what each key is by default."""

from pathlib import Path

from homeserver.config import reader
from homeserver.config.values import Config
from homeserver.net.addresses import REFUSED_RANGES, SocketAddress
from homeserver.protocol.events.room_versions import ROOM_VERSIONS


def write(folder: Path, text: str) -> Path:
    """Write a configuration of `own.example`, and return its path."""
    path = folder / "homeserver.toml"
    path.write_text(f'server_name = "own.example"\n{text}', "utf-8")
    return path


def load(folder: Path, text: str) -> Config:
    """The configuration of `own.example` with `text` in it."""
    return reader.load(write(folder, text))


DEFAULTS: dict[str, object] = {
    "listen": SocketAddress("0.0.0.0", 8448),
    "shutdown_seconds": 10.0,
    "tls.certificate": Path("tls.crt"),
    "tls.private_key": Path("tls.key"),
    "tls.present_client_certificate": True,
    "tls.client_certificates": "if-presented",
    "signing.key": Path("signing.key"),
    "signing.old_keys": (),
    "signing.key_validity_seconds": 86400,
    "verification.methods": ("certificate", "key-document"),
    "verification.ca_file": None,
    "verification.system_roots": True,
    "discovery.well_known": True,
    "discovery.srv_services": ("_matrix-fed._tcp", "_matrix._tcp"),
    "discovery.delegate_to": None,
    "dns.servers": (),
    "network.refuse": REFUSED_RANGES,
    "network.allow": (),
    "storage.url": "sqlite:homeserver.db",
    "sending.first_retry_seconds": 2.0,
    "sending.max_retry_seconds": 3600.0,
    "limits.max_body_bytes": 13107200,
    "limits.max_connections": 10000,
    "limits.max_connections_per_address": 1000,
    "limits.request_seconds": 60.0,
    "limits.max_arriving_megabytes": 256,
    "limits.trusted_clients": (),
    "events.default_room_version": ROOM_VERSIONS["11"],
    "events.unsigned_2014": True,
    "notary.enabled": True,
    "control.listen": SocketAddress("127.0.0.1", 8008),
    "control.token_file": Path("control.token"),
    "control.hosts": (),
    "control.max_connections": 100,
    "retention.received_days": 30.0,
    "retention.sent_days": 30.0,
    "retention.max_megabytes": None,
    "log.level": "info",
    "log.format": "text",
    "lab.rules": False,
    "run.workers": 1,
    "profiles": {},
}
