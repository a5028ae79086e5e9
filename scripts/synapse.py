"""Synapse as a real process: another server, for tests and for comparison.

Rules: the version is that of `constraints-synapse.txt`, as
`scripts/synapse-environment` installs it, and no part of it is replaced. The
configuration differs from the defaults only where a private network needs it, and where
it shortens waiting.
"""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from subprocess import Popen
from typing import Any

import signedjson.key

from scripts.processes import ProcessError, running

PROGRAM = Path(__file__).parent.parent / ".venv-synapse" / "bin" / "synapse_homeserver"

_SECONDS_TO_START = 90.0  # a machine that does nothing else needs five
_SECONDS_TO_ANSWER = 60.0  # it asks other servers before it does

_LOG = """
version: 1
disable_existing_loggers: false
formatters: {line: {format: "%(asctime)s %(name)s %(levelname)s %(message)s"}}
handlers: {stderr: {class: logging.StreamHandler, formatter: line}}
root: {level: INFO, handlers: [stderr]}
"""

REGISTRATION = "registrations"
"""The secret by which users are registered."""

# Per second, and at once: more than a test asks for.
_UNLIMITED = {"per_second": 10000, "burst_count": 10000}


@dataclass(frozen=True)
class Synapse:
    """The folder of a Synapse, made by `make_synapse`."""

    folder: Path
    name: str
    within: tuple[str, ...] = ()
    """A command that runs its process, such as `nsenter`; none if empty."""

    @property
    def log(self) -> Path:
        """The standard error of its process."""
        return self.folder / "stderr.log"

    @contextmanager
    def running(self) -> Iterator[Popen[str]]:
        """Run Synapse; within the context, it accepts requests.

        Raises `ProcessError` if it does not start.
        """
        configuration = str(self.folder / "homeserver.json")
        command = [*self.within, str(PROGRAM), "--config-path", configuration]
        with running(command, self.log) as process:
            deadline = time.monotonic() + _SECONDS_TO_START
            while not self._is_healthy():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ProcessError(
                        f"Synapse does not start: {self.log.read_text()[-2000:]}"
                    )
                time.sleep(0.1)
            yield process

    def ask(
        self,
        method: str,
        target: str,
        content: dict[str, Any] | None = None,
        token: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """One request to its client API: the status, and the JSON of its answer."""
        connection = _UnixConnection(self._socket)
        # Some requests need the client's address, which a proxy would set.
        headers = {"X-Forwarded-For": "127.0.0.1"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(
                method,
                target,
                None if content is None else json.dumps(content),
                headers,
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    @property
    def _socket(self) -> Path:
        # A socket of the file system is reached from any network namespace.
        return self.folder / "client.sock"

    def _is_healthy(self) -> bool:
        connection = _UnixConnection(self._socket)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS_TO_ANSWER)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def make_synapse(
    folder: Path,
    name: str,
    listen: Sequence[str],
    ca_file: Path,
    within: tuple[str, ...] = (),
    notary: str | None = None,
) -> Synapse:
    """Write the configuration of a Synapse.

    It takes federation at each of `listen` (HOST:PORT), with `tls.crt` and `tls.key`,
    which are in `folder`, and trusts the authorities in `ca_file`; and it asks `notary`
    for keys, if one is named.
    """
    federation = [
        {
            "type": "http",
            "tls": True,
            "port": int(port),
            "bind_addresses": [host.strip("[]")],
            # With "client" comes `.well-known/matrix/server`.
            "resources": [{"names": ["federation", "client"]}],
        }
        for host, _, port in (each.rpartition(":") for each in listen)
    ]
    client = {
        "type": "http",
        "path": str(folder / "client.sock"),
        "resources": [{"names": ["client"]}],
    }
    configuration = {
        "server_name": name,
        "report_stats": False,
        "listeners": [client, *federation],
        "serve_server_wellknown": True,
        "database": {
            "name": "sqlite3",
            "args": {"database": str(folder / "synapse.db")},
        },
        "media_store_path": str(folder / "media"),
        "log_config": str(folder / "log.yaml"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": "macaroons",
        "form_secret": "forms",
        "tls_certificate_path": str(folder / "tls.crt"),
        "tls_private_key_path": str(folder / "tls.key"),
        "federation_custom_ca_list": [str(ca_file)],
        # All the others are on this machine, and there is no notary on the Internet.
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "trusted_key_servers": [] if notary is None else [{"server_name": notary}],
        "federation": {
            "destination_min_retry_interval": 100,
            "destination_retry_multiplier": 1,
            "destination_max_retry_interval": 100,
            "client_timeout": "10s",
            # Of a request, before its destination counts as failed.
            "max_long_retry_delay": "1s",
            "max_short_retry_delay": "1s",
        },
        # A repeated query must not get a cached answer.
        "caches": {"sync_response_cache_duration": "0s"},
        "enable_registration": True,
        "registration_shared_secret": REGISTRATION,
        "enable_registration_without_verification": True,
        "rc_message": _UNLIMITED,
        "rc_registration": _UNLIMITED,
        "rc_room_creation": _UNLIMITED,
        "rc_invites": {
            "per_room": _UNLIMITED,
            "per_user": _UNLIMITED,
            "per_issuer": _UNLIMITED,
        },
        "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
        "rc_joins_per_room": _UNLIMITED,
        "rc_federation": {
            "window_size": 1000,
            "sleep_limit": 10000,
            "reject_limit": 10000,
            "concurrent": 100,
        },
    }
    with (folder / "signing.key").open("w") as file:
        signedjson.key.write_signing_keys(
            file, [signedjson.key.generate_signing_key("synapse")]
        )
    (folder / "log.yaml").write_text(_LOG)
    # YAML is a superset of JSON.
    (folder / "homeserver.json").write_text(json.dumps(configuration, indent=1))
    return Synapse(folder, name, within)
