"""The yardsticks: Synapse, a server in Go that answers at once, and nginx.

Rules: one that is not installed raises `FileNotFoundError` when it is to start.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.load import Server
from scripts.benchmarks.setting import NAME, Setting
from scripts.processes import LOOPBACK, ProcessError, first_line, free_ports, running
from scripts.synapse import PROGRAM, make_synapse

SYNAPSE = "synapse"

NGINX = "nginx"
GO = "go"

_ROOT = Path(__file__).parent.parent.parent
_SECONDS_TO_LISTEN = 60.0

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
        yield Server.listening(process.pid, port)


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
        yield Server.listening(process.pid, port)


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
        yield Server.listening(process.pid, port)


def _wait_until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Return once a process listens on `port`; else raise `ProcessError`."""
    deadline = time.monotonic() + _SECONDS_TO_LISTEN
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.01)
    raise ProcessError(f"{process.args!r:.200} does not listen")


YARDSTICKS = {SYNAPSE: _synapse, GO: _go, NGINX: _nginx}
"""{name: how it is run}."""
