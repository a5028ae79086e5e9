"""The pair in containers, as far as it can be tried without an engine."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import LOOPBACK, free_ports, make_endpoint, running

TOP = Path(__file__).parent.parent.parent

# Tells of each call, and does what the test has put into the file of its first word.
COMPOSE = """\
#!/bin/sh
echo "$@" >> {folder}/calls
[ ! -e {folder}/"$1" ] || . {folder}/"$1"
"""


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[str]:
    """Where a name server answers from the zone of the pair, as its container does."""
    [port] = free_ports(1)
    options = ["--nodaemon", "--rundir=/", "--pidfile=", "--logfile=-"]
    files = ["--bindzone", str(TOP / "conf" / "pair" / "test.zone")]
    where = ["--interface", LOOPBACK, "--port", str(port)]
    twistd = str(Path(sys.executable).with_name("twistd"))
    command = [twistd, *options, "dns", *files, *where]
    with running(command, tmp_path / "dns.log") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "DNSDatagramProtocol starting" in line:
                break
        yield f"{LOOPBACK}:{port}"


def test_the_zone_leads_to_the_containers(zone: str, tmp_path: Path) -> None:
    """Each of the pair is found by SRV, at the address that its container has."""
    endpoint = make_endpoint(
        tmp_path / "alpha",
        "alpha.test",
        f'[dns]\nservers = ["{zone}"]\n[discovery]\nwell_known = false\n',
    )
    services = (TOP / "docker-compose.yml").read_text()
    given = dict(
        re.findall(
            r"^  (\w+):\n(?:.+\n)+?        ipv4_address: (\S+)", services, re.MULTILINE
        )
    )
    assert given.keys() == {"alpha", "beta", "dns"}
    assert f"dns: {given['dns']}\n" in services
    for service in ("alpha", "beta"):
        name = f"{service}.test"
        resolved = endpoint.call("resolve", name, "--json")
        assert resolved.returncode == 1  # for the same reason as below
        resolution = json.loads(resolved.stdout)
        assert [step["found"] for step in resolution["steps"]] == [
            "no such record",
            f"10 0 8448 {name}",
        ]
        done = endpoint.call("keys", name)  # whose address is refused, and so is told
        assert f"{given[service]} is in the refused range" in done.stderr


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    """The folder of a `docker-compose` that tells of its calls, and does nothing."""
    program = tmp_path / "docker-compose"
    program.write_text(COMPOSE.format(folder=tmp_path))
    program.chmod(0o755)
    return tmp_path


def pair(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run the pair in containers, where no program is found but those in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.pair", "--compose", *arguments],
        cwd=TOP,
        env={"PATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def calls(folder: Path) -> list[str]:
    """What `docker-compose` was called with."""
    return (folder / "calls").read_text().splitlines()


def test_without_docker(tmp_path: Path) -> None:
    """Without Docker, the script says so, and what can be done instead."""
    process = pair(tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 1
    [line] = errors.strip().splitlines()
    assert "this needs Docker and Compose" in line
    assert "without --compose" in line


def test_what_fails_is_taken_down(compose: Path) -> None:
    """Where the containers do not come up, their logs are shown and they are ended."""
    (compose / "up").write_text("echo nowhere >&2; exit 1")
    (compose / "logs").write_text("echo it was the moon")
    process = pair(compose)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "nowhere" in errors
    assert "it was the moon" in errors
    assert "does the Docker engine run" in errors
    assert calls(compose) == [
        "version",
        "up --detach --build",
        "logs --tail=50",
        "down --volumes",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_ended_takes_down(number: signal.Signals, compose: Path) -> None:
    """Ctrl-C takes down what has come up so far."""
    (compose / "up").write_text("echo up >&2; exec /bin/sleep 60")
    process = pair(compose, "--no-build")
    assert process.stderr is not None
    assert process.stderr.readline() == "up\n"
    os.killpg(process.pid, number)  # as a terminal does
    process.communicate()
    assert process.returncode == 1
    assert calls(compose) == ["version", "up --detach", "down --volumes"]


def test_a_second_interrupt_leaves_nothing_behind(compose: Path) -> None:
    """A second Ctrl-C does not stop the taking down."""
    (compose / "up").write_text("exit 1")
    (compose / "down").write_text(f"echo begun >&2; /bin/sleep 1; : > {compose}/ended")
    process = pair(compose)
    assert process.stderr is not None
    while process.stderr.readline() != "begun\n":
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 1
    assert (compose / "ended").exists()


def test_a_wrong_answer_is_told(compose: Path) -> None:
    """What comes up and then does not federate is a failure, with its reason."""
    resolution = json.dumps({"steps": [], "routes": []})
    (compose / "exec").write_text(
        f"[ $5 != resolve ] || echo '{resolution}'\n"
        "[ $5 != send ] || { echo not delivered yet >&2; exit 1; }\n"
        "[ $5 != health ] || echo '{}'\n"
    )
    process = pair(compose)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "`homeserver send` of alpha.test ended with 1: not delivered yet" in errors
    assert calls(compose)[-1] == "down --volumes"
