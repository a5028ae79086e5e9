"""Runs of the command that checks another homeserver, as processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from tests.support.strange_targets import StrangeTarget

SECONDS = 120.0  # for a run that takes five; machines are shared

# More than pre-flight makes of a target that says yes to everything.
UNDER_WAY = 8

AREAS = ["--only", "A", "--only", "M"]


def conform(
    *arguments: str, address: str = "127.0.0.1:1", name: str = "localhost:1"
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*_command(), name, "--target-address", address, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def _command() -> list[str]:
    return [sys.executable, "-m", "homeserver", "conform"]


@contextmanager
def run_against(target: StrangeTarget, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on."""
    address = ["--target-address", target.address, "--timeout", "3", *more]
    # A run that is killed leaves its temporary folder.
    with TemporaryDirectory() as temporary:
        process = subprocess.Popen(
            [*_command(), "localhost:1", "--format", "json", *address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": temporary},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
