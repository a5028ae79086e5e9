"""The command that checks another homeserver, as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.processes import (
    Endpoint,
    first_line,
    free_ports,
    homeserver,
    make_endpoint,
)
from tests.support.strange_targets import (
    StrangeTarget,
    json_response,
    strange_target,
)

_SECONDS = 120.0  # for a run that takes five; machines are shared

# More than pre-flight makes of a target that says yes to everything.
_UNDER_WAY = 8

_AREAS = ["--only", "A", "--only", "M"]

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[limits]
trusted_clients = ["127.0.0.0/8"]

[verification]
ca_file = "{ca_file}"
methods = ["certificate"]
"""


def conform(
    *arguments: str, address: str = "127.0.0.1:1", name: str = "localhost:1"
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*_command(), name, "--target-address", address, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def _command() -> list[str]:
    return [sys.executable, "-m", "homeserver", "conform"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority of all runs."""
    folder = tmp_path_factory.mktemp("data")
    # A run without a target makes the authority.
    assert conform("--data", str(folder)).returncode == 3
    return folder


@pytest.fixture(scope="module")
def ours(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A daemon that trusts the authority, and does not know our name server."""
    folder = tmp_path_factory.mktemp("ours") / "ours"
    configuration = _CONFIGURATION.format(ca_file=data / "ca.pem")
    endpoint = make_endpoint(folder, "ours.test:8448", configuration)
    with endpoint.running() as process:
        first_line(process)
        yield endpoint


def at(endpoint: Endpoint) -> dict[str, str]:
    """Where the daemon is."""
    return {"name": endpoint.name, "address": f"127.0.0.1:{endpoint.port}"}


def test_names_of_localhost_do_without_a_name_server(
    data: Path, ours: Endpoint
) -> None:
    """All that needs no zone is tested, and the advice says how to have one."""
    done = conform("--data", str(data), "--only", "K", "--only", "M", **at(ours))
    assert done.returncode == 0, done.stdout
    assert "not testable" not in done.stdout.rpartition("\n\n")[2]
    assert "Discovery cannot be tested" in done.stderr
    # Some of our servers answered with 500, as their checks wanted.
    assert " error " not in done.stderr


def test_our_users_leave_the_rooms_of_the_target(data: Path, ours: Endpoint) -> None:
    """A room that was joined has the members that it had."""
    config = ["-c", str(ours.configuration)]
    version = ["--room-version", "10", "--preset", "public_chat"]
    made = homeserver("room", "create", *config, *version)
    room_id = made.stdout.strip()
    assert room_id.startswith("!"), made.stderr
    rooms = ["--data", str(data), "--room", room_id]
    done = conform(*rooms, "--only", "J20.v10", "--only", "L04", **at(ours))
    assert done.returncode == 0, done.stdout
    assert "2 pass" in done.stdout
    members = homeserver("room", "members", *config, room_id)
    joined = [line for line in members.stdout.splitlines() if "join" in line]
    assert len(joined) == 1, members.stdout


def test_a_target_that_does_not_trust_us_fails_once(ours: Endpoint) -> None:
    """M01 fails; all that comes after it is not testable; the advice says why."""
    done = conform("--format", "json", "--only", "M", **at(ours))
    assert done.returncode == 1
    results = {each["id"]: each["result"] for each in json.loads(done.stdout)["checks"]}
    assert results.pop("M01") == "fail"
    assert set(results.values()) == {"not-testable"}
    assert "federation_custom_ca_list" in done.stderr


def test_a_baseline_decides_on_the_exit_status(tmp_path: Path, ours: Endpoint) -> None:
    """A known failure is none; a check that passed before is named as worse."""
    file = tmp_path / "report.json"
    options = ["--only", "M0[12]", "--format", "json", "--output", str(file)]
    assert conform(*options, **at(ours)).returncode == 1
    again = conform(*options[:2], "--baseline", str(file), **at(ours))
    assert again.returncode == 0
    file.write_text(file.read_text().replace('"fail"', '"pass"'))
    worse = conform(*options[:2], "--baseline", str(file), **at(ours))
    assert worse.returncode == 1
    assert "worse: M01: pass -> fail" in worse.stderr


def test_a_target_that_is_not_there() -> None:
    """One line says so, and the exit status is its own."""
    done = conform()
    assert done.returncode == 3
    assert done.stdout == ""
    assert "cannot be reached: " in done.stderr
    assert "refused" in done.stderr
    assert "--target-address" not in done.stderr
    done = homeserver("conform", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("127.0.0.1:1 cannot be reached: 127.0.0.1:1: cannot connect")
    assert line.endswith("; --target-address HOST:PORT says where it is")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "NONE"],
        ["--zone", "a..b"],
        ["--baseline", __file__],
        ["--setup", "'"],
        ["--listen", "192.0.2.1:1"],
    ],
)
def test_mistakes_of_the_caller(arguments: list[str]) -> None:
    """Each is one line on standard error."""
    done = conform(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def _hang(number: int, _: bytes) -> bytes | None:
    return json_response(b"{}") if number <= 3 else None


def _garbage(number: int, _: bytes) -> bytes:
    return [b"\0" * 100, b"HTTP/1.1 2000 ?\r\n\r\n", b"", b"{}" * 40000][number % 4]


def _half(_: int, __: bytes) -> bytes:
    return json_response(b'{"server": [')[:-5]


def _wrong_shapes(_: int, __: bytes) -> bytes:
    wrong = {name: [1, None] for name in ("server", "verify_keys", "signatures")}
    return json_response(json.dumps(wrong).encode())


@contextmanager
def run_against(target: StrangeTarget, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on."""
    address = ["--target-address", target.address, "--timeout", "3", *more]
    process = subprocess.Popen(
        [*_command(), "localhost:1", "--format", "json", *address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("answer", [_half, _wrong_shapes])
def test_a_target_that_answers_wrongly(tmp_path: Path, answer: object) -> None:
    """There is a report, or a sentence, and no error of ours."""
    with strange_target(answer, tmp_path) as target:  # type: ignore[arg-type]
        done = conform("--format", "json", "--timeout", "5", address=target.address)
    if done.returncode == 3:
        assert done.stderr.strip()
        return
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert "error" not in {each["result"] for each in report["checks"]}, report


def test_a_target_that_answers_no_http(tmp_path: Path) -> None:
    """It counts as one that is not reached."""
    with strange_target(_garbage, tmp_path) as target:
        done = conform(address=target.address)
    assert done.returncode == 3
    assert "HTTP" in done.stderr


def test_a_target_that_ends_in_the_middle(tmp_path: Path) -> None:
    """What was not run is not testable, nothing is wrong, and the status says why."""
    with (
        strange_target(lambda *_: json_response(b"{}"), tmp_path) as target,
        run_against(target, *_AREAS) as process,
    ):
        assert target.wait_for(_UNDER_WAY, _SECONDS)
        target.end()
        output, errors = process.communicate(timeout=_SECONDS)
    assert process.returncode == 3, errors
    results = {each["result"] for each in json.loads(output)["checks"]}
    assert "error" not in results
    assert "not-testable" in results


def test_a_target_that_hangs_in_the_middle(tmp_path: Path) -> None:
    """It is found out, and what was not run is not testable."""

    def answer(number: int, _: bytes) -> bytes | None:
        return json_response(b"{}") if number < _UNDER_WAY else None

    with (
        strange_target(answer, tmp_path) as target,
        run_against(target, *_AREAS) as process,
    ):
        output, errors = process.communicate(timeout=_SECONDS)
    assert process.returncode == 3, errors
    results = {each["result"] for each in json.loads(output)["checks"]}
    assert "error" not in results
    assert "not-testable" in results


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once(tmp_path: Path, number: int) -> None:
    """Also while the target hangs; nothing is left running."""
    with strange_target(_hang, tmp_path) as target, run_against(target) as process:
        assert target.wait_for(3, _SECONDS)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=_SECONDS)
        assert process.returncode == 130
        assert errors.strip() == "localhost:1: the run was interrupted"


def test_an_interrupted_run_reports_what_it_has(tmp_path: Path) -> None:
    """The checks that were not over are not testable, and none is wrong."""

    def answer(number: int, _: bytes) -> bytes | None:
        return json_response(b"{}") if number < _UNDER_WAY else None

    with (
        strange_target(answer, tmp_path) as target,
        run_against(target, *_AREAS, "--timeout", "300") as process,
    ):
        assert target.wait_for(_UNDER_WAY, _SECONDS)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=_SECONDS)
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
        waiting.settimeout(_SECONDS)
        connection, _ = waiting.accept()
        with connection:
            connection.settimeout(_SECONDS)
            assert connection.recv(1) == b"x"
            process.kill()
            process.wait(_SECONDS)
            assert connection.recv(1) == b""
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert not report.exists()
