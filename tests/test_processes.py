"""What is promised to tests about the processes that they start."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import processes
from scripts.processes import (
    LOOPBACK,
    Endpoint,
    ProcessError,
    first_line,
    free_ports,
    running,
)
from tests.support.tables import cases

# What it says on standard error is in its folder.
PROGRAM = """#!/bin/sh
cat "${0%/*}/said" >&2
echo ready
test "$1" != run || exec cat
"""

MISTAKES = [
    ("an error", "2026-11-30T12:00:00+0000 critical internal error"),
    ("a traceback", "  Traceback (most recent call last):"),
    ("a traceback in JSON", '{"message": "", "traceback": "Traceback (most'),
    ("a socket that is left open", "a.py:1: ResourceWarning: unclosed <socket.socket"),
]


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """An endpoint whose processes run that program."""
    program = tmp_path / "program"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    monkeypatch.setattr(processes, "PROGRAM", program)
    return Endpoint(tmp_path, "a.test", 0)


def run(endpoint: Endpoint, said: str) -> None:
    """Run the daemon and a command."""
    (endpoint.folder / "said").write_text(f"{said}\n")
    with endpoint.running() as process:
        first_line(process)


@cases("said", MISTAKES)
def test_a_mistake_of_a_daemon(endpoint: Endpoint, said: str) -> None:
    """The end of the process tells what is in the log, and the next one is for itself.

    An error inside of the context is not hidden by it.
    """
    with pytest.raises(ProcessError, match=re.escape(f"a.test:\n{said}")):
        run(endpoint, said)
    run(endpoint, "2026-11-30T12:00:00+0000 error there is no such file")
    with pytest.raises(KeyError), endpoint.running() as process:
        (endpoint.folder / "said").write_text(said)
        first_line(process)
        raise KeyError


@cases("said", MISTAKES)
def test_a_mistake_of_a_command(endpoint: Endpoint, said: str) -> None:
    """A command that falls over is no refusal of it."""
    (endpoint.folder / "said").write_text(said)
    with pytest.raises(ProcessError, match=r"of our own in `homeserver keys`:\n"):
        endpoint.call("keys")


def test_half_a_character(endpoint: Endpoint) -> None:
    """A daemon that was killed while it logged has made no mistake."""
    (endpoint.folder / "said").write_bytes(b"\xc3")
    with endpoint.running() as process:
        first_line(process)


def test_no_port_is_left_open() -> None:
    """Ports that were given and never used are no noise at the end of a process."""
    program = "from scripts.processes import free_ports; free_ports(3)"
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(processes.__file__).parent.parent,
    )
    assert done.stderr == ""


def test_no_mistake(endpoint: Endpoint) -> None:
    """What a command says is in its answer."""
    (endpoint.folder / "said").write_text("error: there is no such name")
    assert endpoint.call("keys").stderr == "error: there is no such name"


def test_a_process_that_ends_at_once(tmp_path: Path) -> None:
    """The error has its log, and not that of others, which run."""
    with (
        pytest.raises(ProcessError, match=r"ended(?s:.*)b\.log:\nno$") as raised,
        running(["sh", "-c", "echo yes >&2; cat"], tmp_path / "a.log"),
        running(["sh", "-c", "echo no >&2; exit 2"], tmp_path / "b.log") as ended,
    ):
        first_line(ended)
    assert "yes" not in str(raised.value)


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a server listens there, and the server can."""
    monkeypatch.setattr(processes, "_PORTS", range(20000, 20064))
    [port] = free_ports(1)
    others = free_ports(40)
    assert port not in others
    assert len(set(others)) == len(others)
    with socket.create_server((LOOPBACK, port)):
        assert port not in free_ports(5)
