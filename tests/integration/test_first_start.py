"""The first start of a daemon, in a folder that has nothing or little in it."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from homeserver.config.reader import load
from scripts.processes import (
    LOOPBACK,
    PROGRAM,
    Endpoint,
    first_line,
    free_ports,
    homeserver,
    make_endpoint,
)


def environment(name: str) -> dict[str, str]:
    """What a container's environment says, on free ports of the loopback interface."""
    listen, control = free_ports(2)
    return {
        **os.environ,
        "HOMESERVER_SERVER_NAME": name,
        "HOMESERVER_LISTEN": f"{LOOPBACK}:{listen}",
        "HOMESERVER_CONTROL": f"0.0.0.0:{control}",
        "HOMESERVER_ALLOW": "127.0.0.0/8 ::1/128",
    }


@contextmanager
def started(folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the daemon in a folder, as the image does."""
    process = subprocess.Popen(
        [PROGRAM, "run"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def test_an_empty_folder_becomes_an_endpoint(tmp_path: Path) -> None:
    """The first start makes all files, says so, and runs; the second keeps them."""
    env = environment("alpha.test")
    endpoint = Endpoint(tmp_path, "alpha.test", 0)
    with started(tmp_path, env) as process:
        assert first_line(process).startswith("listening: alpha.test on 127.0.0.1:")
        assert endpoint.ask("health") == [{"status": "ok"}]
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "new endpoint alpha.test: made homeserver.toml, signing.key, tls.crt, "
            "tls.key, control.token\n"
        )
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    config = load(tmp_path / "homeserver.toml")
    assert str(config.first.listen) == env["HOMESERVER_LISTEN"]
    assert str(config.control.listen) == env["HOMESERVER_CONTROL"]
    assert " ".join(map(str, config.network.allow)) == env["HOMESERVER_ALLOW"]
    with started(tmp_path, env) as process:
        first_line(process)
    for name, content in made.items():
        assert name.startswith("homeserver.db") or (
            (tmp_path / name).read_bytes() == content
        )


def test_a_token_that_is_there_is_taken(tmp_path: Path) -> None:
    """A file that is in the folder already, a secret for example, is kept."""
    (tmp_path / "control.token").write_text("of-a-secret-store\n")
    with started(tmp_path, environment("alpha.test")) as process:
        first_line(process)
        assert Endpoint(tmp_path, "alpha.test", 0).ask("received") == []
    assert (tmp_path / "control.token").read_text() == "of-a-secret-store\n"


def test_another_name_is_refused(tmp_path: Path) -> None:
    """A folder stays that of its name; another name is an error."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    before = endpoint.configuration.read_bytes()
    done = endpoint.call("run", "--server-name", "beta.test")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "server_name is alpha.test, not beta.test" in line
    assert endpoint.configuration.read_bytes() == before


def test_no_name_is_told(tmp_path: Path) -> None:
    """Without a configuration and without a name there is nothing to run."""
    path = tmp_path / "homeserver.toml"
    done = homeserver("run", "-c", str(path))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "HOMESERVER_SERVER_NAME" in line
    assert "homeserver init" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "said"),
    [("other.toml", "homeserver.toml"), ("file/homeserver.toml", "cannot be written")],
)
def test_what_cannot_be_made_is_told(file: str, said: str, tmp_path: Path) -> None:
    """A first start that cannot be is told in one line, and leaves nothing."""
    (tmp_path / "file").write_text("")
    done = homeserver("run", "-c", str(tmp_path / file), "--server-name", "alpha.test")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_control_at_any_free_port(tmp_path: Path) -> None:
    """A port that the system chose is printed, and the commands find it."""
    env = environment("alpha.test") | {"HOMESERVER_CONTROL": f"{LOOPBACK}:0"}
    endpoint = Endpoint(tmp_path, "alpha.test", 0)
    file = tmp_path / "control.address"
    with started(tmp_path, env) as process:
        control = first_line(process)
        assert control.startswith(f"control: {LOOPBACK}:")
        assert first_line(process).startswith("listening: alpha.test on ")
        assert file.read_text() == control.removeprefix("control: ") + "\n"
        assert endpoint.ask("health") == [{"status": "ok"}]
    assert not file.exists()
    done = endpoint.call("health")
    assert done.returncode == 2
    assert f"({file} is missing)" in done.stderr


@pytest.mark.parametrize(
    ("file", "content"), [("", None), ("nothing", None), ("token", " \n")]
)
def test_no_control_without_a_token(
    file: str, content: str | None, tmp_path: Path
) -> None:
    """A control API whose file has no token in it serves no request."""
    [port] = free_ports(1)
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    text = endpoint.configuration.read_text()
    before, _, _ = text.partition("[control]")
    endpoint.configuration.write_text(
        f'{before}\n[control]\nlisten = "0.0.0.0:{port}"\ntoken_file = "{file}"\n'
    )
    if content is not None:
        (endpoint.folder / file).write_text(content)
    done = endpoint.call("run")
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "control.token_file: " in line


def test_health_of_a_store_that_takes_nothing(tmp_path: Path) -> None:
    """A daemon that can read and not write is not well."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        assert endpoint.ask("health") == [{"status": "ok"}]
        with closing(sqlite3.connect(endpoint.folder / "homeserver.db")) as another:
            another.execute("BEGIN IMMEDIATE")
            assert endpoint.call("health").returncode == 1
        assert endpoint.ask("health") == [{"status": "ok"}]


def test_health_of_no_daemon(tmp_path: Path) -> None:
    """Where no daemon runs, `health` says no."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    done = endpoint.call("health")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "no daemon answers" in line
