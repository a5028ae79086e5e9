"""What all servers of one run share: a name, a certificate, and other servers.

Rules: each server has the same key document, so that each takes the same requests.
"""

import compileall
import json
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import homeserver
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.key_documents import build_v1, build_v2
from scripts.benchmarks.others import HOST
from scripts.benchmarks.table import OURS
from scripts.benchmarks.transactions import KEY_ID, Origin
from scripts.processes import Endpoint, first_line, free_ports, make_endpoint, running

NAME = "bench.test"

# What is measured here is not whether a certificate is good.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE

_VALIDITY_MS = 24 * 3600 * 1000

# Peers of the loopback interface. Of what happens, all servers log warnings alone.
CONFIGURATION = """
[network]
allow = ["127.0.0.0/8"]

[log]
level = "warn"
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """The parts that all servers of one run share."""

    endpoint: Endpoint
    """Ours, whose folder has the certificate that all present."""

    others: Sequence[Origin]
    """Servers that serve their keys, and accept transactions."""

    other: Endpoint
    """One that does not run; its certificate is that of all `others`."""

    documents: Mapping[str, tuple[str, str]]
    """{server name: key documents, versions 1 and 2} of `others`."""


def make(folder: Path, others: int) -> Setting:
    """Make the files of all servers in `folder`."""
    # Who installs it compiles it. From here, it would be compiled with every start
    # where the environment says so (PYTHONDONTWRITEBYTECODE).
    compileall.compile_dir(Path(homeserver.__file__).parent, quiet=2)
    endpoint = make_endpoint(folder / OURS, NAME, CONFIGURATION)
    other = make_endpoint(folder / "other", HOST, "")
    certificate = ssl.PEM_cert_to_DER_cert((other.folder / "tls.crt").read_text())
    origins = [Origin.at(f"{HOST}:{port}") for port in free_ports(others)]
    now_ts = time.time_ns() // 1_000_000
    documents = {}
    for each in origins:
        v1 = build_v1(each.name, certificate, [each.key])
        v2 = build_v2(each.name, [each.key], [], now_ts + _VALIDITY_MS)
        documents[each.name.name] = encode(v1).decode(), encode(v2).decode()
    keys = {
        each.name.name: {KEY_ID: b64encode(each.key.verify_key.key).decode()}
        for each in origins
    }
    (endpoint.folder / "keys.json").write_text(json.dumps(keys))
    return Setting(endpoint, origins, other, documents)


@contextmanager
def running_others(setting: Setting) -> Iterator[subprocess.Popen[str]]:
    """The other servers, as one process."""
    command = [sys.executable, "-m", "scripts.benchmarks.others"]
    with running(command, setting.endpoint.folder / "others.log") as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        files = [str(setting.other.folder / f"tls.{part}") for part in ("crt", "key")]
        print(json.dumps(files), file=process.stdin)
        for each in setting.others:
            line = [each.name.port, *setting.documents[each.name.name]]
            print(json.dumps(line), file=process.stdin)
        process.stdin.close()
        process.stdin = None
        first_line(process)
        yield process
