"""Dendrite as a real process: another server, for its conformance report.

Rules: the program is built by the caller, as its own documentation says. The
configuration differs from the defaults only where a private network needs it, and where
a limit for clients would slow the set-up down.
"""

import base64
import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from urllib.error import URLError
from urllib.request import urlopen

from scripts.processes import ProcessError, running

REGISTRATION = "registrations"

_SECONDS_TO_START = 90.0  # a machine that does nothing else needs three

_DATABASES = (
    ("federation_api", "database"),
    ("key_server", "database"),
    ("media_api", "database"),
    ("mscs", "database"),
    ("relay_api", "database"),
    ("room_server", "database"),
    ("sync_api", "database"),
    ("user_api", "account_database"),
)


@dataclass(frozen=True)
class Dendrite:
    """The folder of a Dendrite, made by `make_dendrite`."""

    program: Path
    folder: Path
    listen: str
    ca_file: Path

    @property
    def log(self) -> Path:
        """The standard error of its process."""
        return self.folder / "stderr.log"

    @contextmanager
    def running(self) -> Iterator[Popen[str]]:
        """Run Dendrite; within the context, it accepts requests.

        Raises `ProcessError` if it does not start.
        """
        command = [
            # It trusts what the system trusts, and has no setting for that.
            *["env", f"SSL_CERT_FILE={self.ca_file}", str(self.program)],
            *["-config", str(self.folder / "dendrite.yaml")],
            *["-http-bind-address", "127.0.0.1:0"],
            *["-https-bind-address", self.listen],
            *["-tls-cert", str(self.folder / "tls.crt")],
            *["-tls-key", str(self.folder / "tls.key")],
        ]
        with running(command, self.log) as process:
            deadline = time.monotonic() + _SECONDS_TO_START
            while not self._answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ProcessError(
                        f"Dendrite does not start: {self.log.read_text()[-2000:]}"
                    )
                time.sleep(0.1)
            yield process

    def _answers(self) -> bool:
        url = f"https://{self.listen}/_matrix/client/versions"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with urlopen(url, timeout=5, context=context) as response:
                return int(response.status) == 200
        except (URLError, OSError):
            return False


def make_dendrite(
    program: Path, folder: Path, name: str, listen: str, ca_file: Path
) -> Dendrite:
    """Write the configuration of a Dendrite.

    It takes all requests at `listen` (HOST:PORT), with `tls.crt` and `tls.key`, which
    are in `folder`, and trusts the authorities in `ca_file` alone.
    """
    sections: dict[str, dict[str, object]] = {
        section: {member: {"connection_string": f"file:{folder}/{section}.db"}}
        for section, member in _DATABASES
    }
    configuration: Mapping[str, object] = {
        "version": 2,
        **sections,
        "global": {
            "server_name": name,
            "private_key": str(folder / "matrix_key.pem"),
            "jetstream": {"storage_path": str(folder), "in_memory": False},
            "presence": {"enable_inbound": True, "enable_outbound": True},
        },
        "client_api": {
            "registration_disabled": True,
            "registration_shared_secret": REGISTRATION,
            "rate_limiting": {"enabled": False},
        },
        "federation_api": {
            **sections["federation_api"],
            # All the others are on this machine, and no notary is on the Internet.
            "deny_networks": [],
            "allow_networks": ["0.0.0.0/0", "::/0"],
            "key_perspectives": [],
        },
        "media_api": {**sections["media_api"], "base_path": str(folder / "media")},
        "logging": [{"type": "std", "level": "warn"}],
    }
    (folder / "matrix_key.pem").write_text(_signing_key())
    # YAML is a superset of JSON.
    (folder / "dendrite.yaml").write_text(json.dumps(configuration, indent=1))
    return Dendrite(program, folder, listen, ca_file)


def _signing_key() -> str:
    """A new signing key in the form of Dendrite."""
    seed = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    head = "-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:dendrite\n\n"
    return f"{head}{seed}\n-----END MATRIX PRIVATE KEY-----\n"
