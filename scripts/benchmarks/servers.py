"""The servers that are measured: ours and the yardsticks, as real processes.

Rules: all have one name, one certificate and one key document, so that each takes the
same requests. A yardstick that is not installed is left out.
"""

import compileall
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import homeserver
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.key_documents import build_v1, build_v2
from scripts.benchmarks.load import Server
from scripts.benchmarks.others import HOST
from scripts.benchmarks.table import OURS
from scripts.benchmarks.transactions import KEY_ID, Origin
from scripts.benchmarks.usage import cpu_seconds, resident_megabytes
from scripts.processes import (
    LOOPBACK,
    Endpoint,
    ProcessError,
    first_line,
    free_ports,
    make_endpoint,
    running,
)
from scripts.processes import PROGRAM as OWN_PROGRAM
from scripts.synapse import PROGRAM, make_synapse

NAME = "bench.test"

SYNAPSE = "synapse"
IN_ROOM = "in a room"
"""Ours, asked about a room that it is in."""

NGINX = "nginx"
GO = "go"

BEFORE = "before"
"""Ours of another tree, such as that of an earlier commit."""

UNBOUNDED = "unbounded"
"""Ours without its bounds on strangers."""

SAME = "the same"
"""Ours once more, without any difference: what it differs by is noise."""

LARGE = "large store"
"""Ours with a store that has received much."""

WORKERS = "two workers"
"""Ours as two processes."""

# What is measured here is not whether a certificate is good.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE

_ROOT = Path(__file__).parent.parent.parent
_SECONDS_TO_LISTEN = 60.0
_VALIDITY_MS = 24 * 3600 * 1000

# Peers of the loopback interface. Of what happens, all servers log warnings alone.
_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8"]

[log]
level = "warn"
"""

_SYNAPSE_LOG = """
version: 1
handlers: {stderr: {class: logging.StreamHandler}}
root: {level: WARNING, handlers: [stderr]}
"""

_NGINX_CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx;
  proxy_temp_path {folder}/nginx;
  fastcgi_temp_path {folder}/nginx;
  uwsgi_temp_path {folder}/nginx;
  scgi_temp_path {folder}/nginx;
  keepalive_requests 1000000;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate {folder}/tls.crt;
  ssl_certificate_key {folder}/tls.key;
  server {{
    listen 127.0.0.1:{port} ssl;
    default_type application/json;
    location = /_matrix/key/v1 {{ alias {folder}/v1.json; }}
    location = /_matrix/federation/v1/version {{ return 200
      '{{"server":{{"name":"nginx","version":"1"}}}}'; }}
  }}
}}
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
    endpoint = make_endpoint(folder / OURS, NAME, _CONFIGURATION)
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


@contextmanager
def running_ours(endpoint: Endpoint) -> Iterator[Server]:
    """Our server, once it listens."""
    with endpoint.running() as process:
        first_line(process)
        yield _server(process, endpoint.port)


def start_all(
    setting: Setting,
    without: Sequence[str],
    before: Path | None,
    stack: ExitStack,
    *,
    has_same: bool = False,
) -> dict[str, Server]:
    """Start ours and every yardstick that is installed: {name: server}.

    Those named in `without` are left out. `before` is the tree of `BEFORE`; None
    leaves it out. `SAME` is there only if asked for.
    """
    ours = stack.enter_context(running_ours(setting.endpoint))
    servers = {OURS: ours}
    folder = setting.endpoint.folder
    client = HTTPSConnection(LOOPBACK, setting.endpoint.port, context=UNVERIFIED)
    client.request("GET", "/_matrix/key/v1")
    (folder / "v1.json").write_bytes(client.getresponse().read())
    client.close()
    if before is not None:
        path = ("env", f"PYTHONPATH={before}")
        servers[BEFORE] = stack.enter_context(_ours_again(setting, BEFORE, path))
    yardsticks = {
        UNBOUNDED: _unbounded,
        LARGE: _large,
        WORKERS: _two_workers,
        **({SAME: _same} if has_same else {}),
        SYNAPSE: _synapse,
        GO: _go,
        NGINX: _nginx,
    }
    for name, run in yardsticks.items():
        if name in without:
            continue
        try:
            servers[name] = stack.enter_context(run(setting))
        except FileNotFoundError:
            print(f"{name} is not installed and left out")
    return servers


@contextmanager
def _ours_again(
    setting: Setting,
    name: str,
    within: Sequence[str],
    program: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """One more of ours, of the same name and certificate, with a store of its own."""
    made = make_endpoint(setting.endpoint.folder.with_name(name), NAME, _CONFIGURATION)
    for each in ("tls.crt", "tls.key", "signing.key"):
        shutil.copy(setting.endpoint.folder / each, made.folder)
    command = [*within, *(program or [str(OWN_PROGRAM)]), "run", "-c"]
    with running([*command, str(made.configuration), *options], made.log) as process:
        first_line(process)
        yield _server(process, made.port)


def _two_workers(setting: Setting) -> AbstractContextManager[Server]:
    return _ours_again(setting, WORKERS, (), options=("--workers", "2"))


def _unbounded(setting: Setting) -> AbstractContextManager[Server]:
    program = (sys.executable, "-m", "scripts.benchmarks.unbounded")
    return _ours_again(setting, UNBOUNDED, (), program)


def _same(setting: Setting) -> AbstractContextManager[Server]:
    # Started as `UNBOUNDED` is, which it is compared with.
    return _ours_again(setting, SAME, (), (sys.executable, "-m", "homeserver"))


def _large(setting: Setting) -> AbstractContextManager[Server]:
    return _ours_again(setting, LARGE, ())


def large_store(setting: Setting) -> Path:
    """The store of `LARGE`, which is as small as any until it is filled."""
    return setting.endpoint.folder.with_name(LARGE) / "homeserver.db"


@contextmanager
def _synapse(setting: Setting) -> Iterator[Server]:
    PROGRAM.stat()
    folder = setting.endpoint.folder.with_name(SYNAPSE)
    folder.mkdir()
    for part in ("tls.crt", "tls.key"):
        shutil.copy(setting.endpoint.folder / part, folder)
    [port] = free_ports(1)
    authority = setting.other.folder / "tls.crt"
    synapse = make_synapse(folder, NAME, [f"{LOOPBACK}:{port}"], authority)
    (folder / "log.yaml").write_text(_SYNAPSE_LOG)
    with synapse.running() as process:
        yield _server(process, port)


@contextmanager
def _go(setting: Setting) -> Iterator[Server]:
    folder = setting.endpoint.folder
    [port] = free_ports(1)
    program = folder / "peer"
    source = _ROOT / "scripts" / "bench_peers" / "peer.go"
    subprocess.run(["go", "build", "-o", program, source], check=True)  # noqa: S607
    command = [str(program), f"{LOOPBACK}:{port}", NAME, str(folder)]
    with running(command, folder / "go.log") as process:
        first_line(process)
        yield _server(process, port)


@contextmanager
def _nginx(setting: Setting) -> Iterator[Server]:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        raise FileNotFoundError("nginx")
    folder = setting.endpoint.folder
    [port] = free_ports(1)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX_CONFIGURATION.format(folder=folder, port=port))
    command = [nginx, "-e", "stderr", "-c", str(configuration)]
    with running(command, folder / "nginx.log") as process:
        _wait_until_listening(port, process)
        yield _server(process, port)


def _wait_until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Return once a process listens on `port`; else raise `ProcessError`."""
    deadline = time.monotonic() + _SECONDS_TO_LISTEN
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.01)
    raise ProcessError(f"{process.args!r:.200} does not listen")


def _server(process: subprocess.Popen[str], port: int) -> Server:
    """A server that has just begun to listen."""
    return Server(
        process.pid,
        f"https://{LOOPBACK}:{port}",
        cpu_seconds(process.pid),
        resident_megabytes(process.pid),
    )
