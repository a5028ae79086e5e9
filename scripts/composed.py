"""The pair in containers, as docker-compose.yml has it: for `scripts/pair --compose`.

The containers are taken down at the end, also after a failure and Ctrl-C. The project
has a name of its own, so that the volumes of a pair that was started by hand are not
touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.processes import ProcessError, parse_answer

SERVICES = ("alpha", "beta")  # whose server names are alpha.test and beta.test

_SECONDS_TO_START = 120.0  # a slow machine needs ten


@dataclass(frozen=True)
class Composed:
    """One endpoint that runs as a service of the project."""

    compose: Sequence[str]
    service: str

    @property
    def name(self) -> str:
        """Its server name."""
        return f"{self.service}.test"

    def ask(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        """As `processes.Endpoint.ask`."""
        program = ["homeserver", command, "--json", *arguments]
        done = _run([*self.compose, "exec", "-T", self.service, *program])
        return parse_answer(self.name, command, done)

    def spell(self, command: str) -> str:
        """As `processes.Endpoint.spell`."""
        return f"{' '.join(self.compose)} exec {self.service} homeserver {command}"


@contextmanager
def running_composed(*, build: bool) -> Iterator[list[Composed]]:
    """The pair; raises `ProcessError` if it cannot be brought up.

    Without `build`, the image that is there is taken, if there is one.
    """
    compose = _find_compose()
    try:
        _bring_up(compose, ["--build"] if build else [])
        endpoints = [Composed(compose, service) for service in SERVICES]
        for endpoint in endpoints:
            _wait_until_healthy(endpoint)
        yield endpoints
    except ProcessError:
        _run([*compose, "logs", "--tail=50"], shown=True)
        raise
    finally:
        # A second Ctrl-C would leave behind what the first one was to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nTaking the containers down.", flush=True)
        _run([*compose, "down", "--volumes"], shown=True)


def _find_compose() -> list[str]:
    """The command of Compose: the current one, or that of version 1."""
    for compose in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(compose[0]) and _run([*compose, "version"]).returncode == 0:
            return compose
    raise ProcessError(
        "this needs Docker and Compose, and neither `docker compose` nor "
        "`docker-compose` runs here; install them, or call scripts/pair without "
        "--compose, which needs neither"
    )


def _bring_up(compose: Sequence[str], options: Sequence[str]) -> None:
    done = _run([*compose, "up", "--detach", *options], shown=True)
    if done.returncode != 0:
        raise ProcessError(
            "the containers cannot be brought up, see above; does the Docker engine "
            "run (`docker info`), and is nothing else at the ports 8008 and 8009 and "
            "in the network 10.84.48.0/24?"
        )


def _wait_until_healthy(endpoint: Composed) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            endpoint.ask("health")
        except ProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _run(
    command: Sequence[str], *, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is kept, unless it is to be `shown`."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.PIPE,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={"COMPOSE_PROJECT_NAME": "homeserver-pair", **os.environ},
    )
