"""One process with several of our servers, and one server beside it that finds them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.processes import (
    LOOPBACK,
    Endpoint,
    free_ports,
    homeserver,
    make_endpoint,
    running_nameserver,
)

_DNS = """
[dns]
servers = ["{nameserver}"]

[network]
allow = ["127.0.0.0/8"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 1
"""

_TOP = """listen = "{listen}"
{more}
[control]
listen = "{control}"
token_file = "{first}/control.token"
"""

_SERVER = """
[[servers]]
server_name = "{name}"
tls = {{certificate = "{name}/tls.crt", private_key = "{name}/tls.key"}}
signing = {{key = "{name}/signing.key"}}
profiles = {{"@a:{name}" = {{displayname = "A of {name}"}}}}
"""


@dataclass
class Process:
    """The process, and the server beside it; none of them runs yet."""

    several: Endpoint
    other: Endpoint
    ports: dict[str, int]
    """Where each server listens."""

    pid: int = 0
    """Of the process, once it runs."""

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def folder(self, name: str) -> Path:
        """The folder with the files of one of the servers."""
        return self.several.folder / name


def make_several(
    folder: Path, names: list[str], ports: dict[str, int], more: str = ""
) -> Endpoint:
    """The files of servers, each on its port; `more` stands in the configuration."""
    [control_port] = free_ports(1)
    for name in names:
        done = homeserver("init", "--server-name", name, str(folder / name))
        assert done.returncode == 0, done.stderr
    text = _TOP.format(
        listen=f"{LOOPBACK}:{ports[names[0]]}",
        control=f"{LOOPBACK}:{control_port}",
        first=names[0],
        more=more,
    )
    for name in names:
        text += _SERVER.format(name=name)
        if ports[name] != ports[names[0]]:
            text += f'listen = "{LOOPBACK}:{ports[name]}"\n'
    (folder / "homeserver.toml").write_text(text)
    return Endpoint(folder, names[0], ports[names[0]])


@contextmanager
def several(
    folder: Path, names: list[str], own: str | None = None
) -> Iterator[Process]:
    """Servers on one port, but for `own`, and `other.test`; they find each other."""
    dns_port, port, own_port = free_ports(3)
    dns = _DNS.format(nameserver=f"{LOOPBACK}:{dns_port}")
    ports = {name: own_port if name == own else port for name in names}
    made = make_several(folder / "several", names, ports, dns)
    other = make_endpoint(folder / "other", "other.test", dns)
    ports["other.test"] = other.port
    zone = [f"{name} A {LOOPBACK}" for name in ports]
    zone += [f"_matrix._tcp.{n} SRV 0 0 {p} {n}" for n, p in ports.items()]
    with running_nameserver(f"{LOOPBACK}:{dns_port}", zone, folder / "dns.log"):
        yield Process(made, other, ports)
