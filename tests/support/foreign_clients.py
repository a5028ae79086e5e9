"""Clients that others wrote, run as programs; a test is skipped where one is missing.

Rules: none of them is of Python, so that they share no mistake with what they test.
"""

import shutil
import subprocess
from dataclasses import dataclass, field

import pytest


@dataclass(frozen=True)
class Ran:
    """What came of a program."""

    code: int
    out: str
    err: str


def run(*command: str, seconds: float = 60.0, **environment: str) -> Ran:
    """Run a program to its end; skips the test if it is not installed."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        check=False,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        env=environment or None,
    )
    out, err = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    return Ran(done.returncode, out, err)


@dataclass(frozen=True)
class Dug:
    """An answer that `dig` has read."""

    status: str
    """As in `NXDOMAIN`; empty without an answer."""

    records: list[str]
    flags: list[str]
    err: str = field(compare=False)


def dig(where: str, name: str, kind: str = "A", *options: str) -> Dug:
    """Ask a name server at HOST:PORT once, as `dig` does without trying again."""
    host, _, port = where.rpartition(":")
    server = [f"@{host.strip('[]')}", "-p", port]
    plain = ["+tries=1", "+time=20", "+nocookie", "+noall", "+comments", "+answer"]
    ran = run("dig", *server, *plain, *options, name, kind)
    said = [line for line in ran.out.splitlines() if line]
    heads = [line for line in said if "status: " in line]
    flags = [line for line in said if line.startswith(";; flags:")]
    return Dug(
        heads[0].partition("status: ")[2].partition(",")[0] if heads else "",
        [" ".join(line.split()) for line in said if not line.startswith(";")],
        flags[0].partition("flags:")[2].partition(";")[0].split() if flags else [],
        ran.err + "\n".join(line for line in said if line.startswith(";;")),
    )
