"""A lab as a process: how it starts, what it takes, and how it ends."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from homeserver.cli.lab import lab as command
from homeserver.testing import Lab, LabError

VERSION = "/_matrix/federation/v1/version"


def resident_kilobytes(pid: int) -> int:
    """The memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    [memory] = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(memory)


def pid_of(lab: Lab) -> int:
    """The process of a lab."""
    assert lab._process is not None
    return lab._process._process.pid


def start(*options: str) -> subprocess.CompletedProcess[str]:
    """A lab that does not start, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "homeserver", "lab", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_start_tells_where_everything_is() -> None:
    """One line of JSON has it all; what is started is light, and leaves nothing."""
    with Lab() as lab:
        process = lab._process
        assert process is not None
        assert process.whereabouts.keys() == {
            "control",
            "token",
            "listen",
            "dns",
            "zone",
            "ca_file",
            "ca_pem",
            "version",
        }
        assert resident_kilobytes(pid_of(lab)) < 75_000
        ca_file = Path(process.whereabouts["ca_file"])
        assert ca_file.read_text() == lab.ca_pem
    assert not ca_file.parent.exists()


def test_a_start_in_text() -> None:
    """Without --json, each fact has a line."""
    command = [sys.executable, "-m", "homeserver", "lab", "--zone", "Other.Test"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline().split(": ") for _ in range(7)]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""  # what a lab trusts is no news
    names = ["control", "token", "listen", "dns", "zone", "ca_file", "page"]
    assert [name for name, _ in lines] == names
    told = {name: value.strip() for name, value in lines}
    assert told["page"] == f"{told['control']}/#token={told['token']}"


NOT_STARTED: list[tuple[list[str], str]] = [
    (
        ["--control", "0.0.0.0:0"],
        "--control 0.0.0.0:0: others can reach it, so give it a token",
    ),
    (["--listen", "localhost:0"], "--listen:"),
    (
        ["--listen", "192.0.2.1:0"],
        "--listen: 192.0.2.1:0: Cannot assign requested address; this machine does not",
    ),
    (
        ["--dns", "192.0.2.1:0"],
        "--dns: 192.0.2.1:0: Cannot assign requested address; this machine does not",
    ),
    (["--control", "192.0.2.1:0"], "--control 192.0.2.1:0: others can reach it"),
    (["--zone", "a..b"], "`--zone` is not a DNS name"),
    (["--allow", "10.0.0.1/8"], "--allow:"),
    (["--trust", "/dev/null"], "--trust: /dev/null: it has no PEM certificates in it"),
    (["--record", "/proc/none"], "--record: /proc/none: "),
    (["--data", "/dev/null/x"], "--data: /dev/null/x: "),
]


@pytest.mark.parametrize(
    ("options", "why"), NOT_STARTED, ids=[" ".join(row[0]) for row in NOT_STARTED]
)
def test_a_lab_that_cannot_start_says_why(options: list[str], why: str) -> None:
    """Exit status 2 comes with one sentence that begins with the option."""
    done = start(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(why)
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken() -> None:
    """The sentence has the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ["--listen", "--control", "--dns"]:
            done = start(option, where)
            assert done.returncode == 2
            assert f"{option}: {where}" in done.stderr
            assert "choose another port, or 0 for a free one" in done.stderr


@pytest.mark.parametrize("token", ["", "two words", "é"])
def test_a_token_is_one_word(token: str, tmp_path: Path) -> None:
    """A token that no header can have is refused, wherever it comes from."""
    (tmp_path / "token").write_text(token)
    for options, environment in [
        (["--token-file", str(tmp_path / "token")], {}),
        ([], {"HOMESERVER_LAB_TOKEN": token}),
    ]:
        done = CliRunner(env=environment).invoke(command, options)
        assert done.exit_code == 2
        assert "no token in it" in done.output


def test_a_given_token_opens_the_control_api(tmp_path: Path) -> None:
    """With a token, others may reach the control API by the names that are told."""
    (tmp_path / "token").write_text("s3cret\n")
    options = ["--token-file", str(tmp_path / "token"), "--control", "0.0.0.0:0"]
    with Lab(*options, "--control-host", "lab") as lab:
        assert lab.link.token == "s3cret"
        port = lab.control.rpartition(":")[2]
        with Lab(url=f"http://127.0.0.1:{port}", token="s3cret") as joined:
            assert joined.ca_pem == lab.ca_pem
            assert joined.server().name.endswith(".lab.test")
        with pytest.raises(LabError, match="not the token"):
            Lab(url=f"http://127.0.0.1:{port}", token="other").start()


def test_the_same_seed_makes_the_same_servers(tmp_path: Path) -> None:
    """Keys, certificates and names follow from the seed, which a folder keeps."""

    def facts(*options: str) -> list[Any]:
        with Lab(*options) as lab:
            server = lab.server("a.lab.test")
            key = [server.key_id, server.verify_key]
            return [lab.ca_pem, server.certificate_sha256, *key]

    data = str(tmp_path / "data")
    one = facts("--seed", "x", "--data", data)
    assert facts("--seed", "x") == one
    assert facts("--data", data) == one
    assert not set(facts("--seed", "y")) & set(one)
    assert (tmp_path / "data" / "seed").stat().st_mode & 0o777 == 0o600
    done = start("--seed", "y", "--data", data)
    assert done.returncode == 2
    assert done.stderr.startswith("--seed: another one is kept in ")


def test_a_thousand_servers() -> None:
    """They take little memory, and no thread and no file each."""
    with Lab() as lab:
        check_a_thousand(lab)


def check_a_thousand(lab: Lab) -> None:
    """Make them, and ask one."""
    files = len(list(Path(f"/proc/{pid_of(lab)}/fd").iterdir()))
    servers = lab.servers(1000)
    assert resident_kilobytes(pid_of(lab)) < 100_000
    assert len({server.name for server in servers}) == 1000
    assert len(list(Path(f"/proc/{pid_of(lab)}/fd").iterdir())) < files + 20
    assert servers[0].request(servers[999].name, VERSION).status == 200
