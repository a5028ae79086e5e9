"""A wrong argument of a script is told in one line, before anything is done."""

import subprocess
import sys
from pathlib import Path

from tests.support.tables import cases

SCRIPTS = Path(__file__).parent.parent / "scripts"

SHELL = [
    *["api_page", "checks_page", "faults_page", "metrics_page", "screenshots"],
    *["synapse-environment", "environment", "pins"],
]
PYTHON = [
    *["benchmarks", "pair", "pin", "retention", "siege", "soak", "trace"],
    *["conform_synapse", "conform_dendrite"],
]
COMMANDS = [
    *((each, [str(SCRIPTS / each)]) for each in SHELL),
    *((each, [sys.executable, "-m", f"scripts.{each}"]) for each in PYTHON),
]


@cases("command", COMMANDS)
def test_nonsense(command: list[str]) -> None:
    """What is no argument of it is in the line, and the exit status is 2."""
    done = subprocess.run(
        [*command, "--nonsense"],
        check=False,
        capture_output=True,
        text=True,
        cwd=SCRIPTS.parent,
        env={"PATH": "/usr/bin:/bin", "DENDRITE": "/bin/true"},
    )
    [line] = done.stderr.splitlines()
    assert "--nonsense" in line
    assert (done.returncode, done.stdout) == (2, "")


@cases("command", ((each, [str(SCRIPTS / each)]) for each in SHELL))
def test_help(command: list[str]) -> None:
    """The head of a script is its help."""
    done = subprocess.run(
        [*command, "--help"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    head = Path(command[0]).read_text("utf-8").splitlines()[1]
    assert done.stdout.splitlines()[0] == head.removeprefix("# ")
