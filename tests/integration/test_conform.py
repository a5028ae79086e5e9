"""The command that checks another homeserver, as a process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import Endpoint, first_line, homeserver, make_endpoint
from tests.support.conform_runs import conform

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[limits]
trusted_clients = ["127.0.0.0/8"]

[verification]
ca_file = "{ca_file}"
methods = ["certificate"]
"""


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
def test_mistakes_of_the_caller(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one line on standard error, and leaves no file."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = conform(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []
