"""A run of checks that is interrupted or killed ends at once, and leaves nothing."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from scripts.processes import free_ports
from tests.support.conform_runs import AREAS, SECONDS, UNDER_WAY, run_against
from tests.support.strange_targets import json_response, strange_target


def _hang(number: int, _: bytes) -> bytes | None:
    return json_response(b"{}") if number <= 3 else None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once(tmp_path: Path, number: int) -> None:
    """Also while the target hangs; nothing is left running."""
    with strange_target(_hang, tmp_path) as target, run_against(target) as process:
        assert target.wait_for(3, SECONDS)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 130
        assert errors.strip() == "localhost:1: the run was interrupted"


def test_an_interrupted_run_reports_what_it_has(tmp_path: Path) -> None:
    """The checks that were not over are not testable, and none is wrong."""

    def answer(number: int, _: bytes) -> bytes | None:
        return json_response(b"{}") if number < UNDER_WAY else None

    with (
        strange_target(answer, tmp_path) as target,
        run_against(target, *AREAS, "--timeout", "300") as process,
    ):
        assert target.wait_for(UNDER_WAY, SECONDS)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, errors
    checks = json.loads(output)["checks"]
    assert "error" not in {each["result"] for each in checks}
    interrupted = [each for each in checks if "interrupted" in each["observed"]]
    assert {each["result"] for each in interrupted} == {"not-testable"}


# It holds a connection for as long as it or its child lives.
_SLEEPER = """
import socket, subprocess, sys, time
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep, pass_fds=[connection.fileno()])
connection.sendall(b"x")
time.sleep(600)
"""


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    """The set-up command ends with its children, and the port is free; no report."""
    program, report = tmp_path / "sleeper.py", tmp_path / "report.json"
    program.write_text(_SLEEPER)
    [port] = free_ports(1)
    with (
        socket.create_server(("127.0.0.1", 0)) as waiting,
        strange_target(lambda *_: json_response(b"{}"), tmp_path) as target,
        run_against(
            target,
            *["--setup", f"{sys.executable} {program} {waiting.getsockname()[1]}"],
            *["--listen", f"127.0.0.1:{port}", "--output", str(report)],
        ) as process,
    ):
        waiting.settimeout(SECONDS)
        connection, _ = waiting.accept()
        with connection:
            connection.settimeout(SECONDS)
            assert connection.recv(1) == b"x"
            process.kill()
            process.wait(SECONDS)
            assert connection.recv(1) == b""
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert not report.exists()
