"""Daemons that run, or that find each other by SRV records."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.processes import (
    AT_HOME,
    LOOPBACK,
    Endpoint,
    first_line,
    free_ports,
    make_endpoint,
    running_nameserver,
)
from tests.support.eventually import eventually

_CONFIGURATION = f"""{AT_HOME}
[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5
"""

EDU = '{"edu_type": "m.test", "content": {"number": %d}}'


@contextmanager
def endpoints(folder: Path, *names: str) -> Iterator[list[Endpoint]]:
    """Endpoints that find each other by SRV; they do not run yet."""
    [port] = free_ports(1)
    configuration = _CONFIGURATION.format(nameserver=f"{LOOPBACK}:{port}")
    made = [make_endpoint(folder / name, name, configuration) for name in names]
    zone = [f"{each.name} A {LOOPBACK}" for each in made]
    zone += [f"_matrix._tcp.{e.name} SRV 0 0 {e.port} {e.name}" for e in made]
    with running_nameserver(f"{LOOPBACK}:{port}", zone, folder / "dns.log"):
        yield made


@contextmanager
def running_alpha(folder: Path) -> Iterator[Endpoint]:
    """One endpoint that runs, `alpha.test`."""
    endpoint = make_endpoint(folder / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        listening = f"listening: alpha.test on {LOOPBACK}:{endpoint.port}"
        assert first_line(process) == listening
        yield endpoint


def send_in_vain(endpoint: Endpoint, destination: str, edu: str) -> str:
    """Send what fails; what the command says of it after an attempt has ended."""
    queued = endpoint.call("send", destination, "--edu", edu, "--timeout", "0")
    assert queued.returncode == 1

    def failing() -> list[str]:
        return [
            str(peer["oldest_id"])
            for peer in endpoint.ask("peers")
            if peer["server_name"] == destination and peer["last_error"]
        ]

    [entry] = eventually(failing)
    done = endpoint.call("send", destination, "--wait", entry, "--timeout", "0")
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]
