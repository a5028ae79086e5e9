"""The daemon that a command asks: how it is named, found, and missed.

Rules: a command says which daemon it was, and how one is started where none answers;
what names no daemon is a mistake of the caller.
"""

from pathlib import Path

import pytest

from homeserver.cli.daemon import Daemon
from homeserver.control import address_file
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName
from tests.support.canned_control import CannedControl, canned_control
from tests.support.commands import ANSWERS, EDU, UNKNOWN_TOKEN, configured, failed, run

URL = "http://127.0.0.1:8008"


@pytest.mark.parametrize(
    ("url", "token", "server", "typed"),
    [
        (None, None, None, "-c a.toml"),
        (None, "token", "b.test", "-c a.toml --server b.test"),
        (URL, None, None, f"--lab {URL}"),
        (URL, "token", None, f"--lab {URL} --token-file token"),
        (URL, "token", "b.test", f"--lab {URL} --token-file token --server b.test"),
    ],
)
def test_chosen(
    url: str | None, token: str | None, server: str | None, typed: str
) -> None:
    """It is named by the options that choose it, and by no other."""
    daemon = Daemon(
        Path("a.toml"),
        url,
        None if token is None else Path(token),
        None if server is None else ServerName.parse(server),
    )
    assert daemon.chosen == typed


def test_wrong_token(path: Path, control: CannedControl) -> None:
    """A token that is another daemon's names its file."""
    control.answers["GET /v1/peers"] = 401, UNKNOWN_TOKEN
    file = path.parent / "control.token"
    assert failed(run("peers", "-c", path)) == (
        1,
        f"the token in {file} is not that of the daemon at {control.address}\n",
    )


def test_no_daemon(tmp_path: Path) -> None:
    """Where nothing answers, the command says how a daemon is started."""
    path = configured(tmp_path, "127.0.0.1:1")
    status, said = failed(run("peers", "-c", path))
    assert status == 1
    assert said.startswith("no daemon answers at 127.0.0.1:1 (")
    assert said.endswith(f"); start it with: homeserver run -c {path}\n")


def test_another_program(tmp_path: Path) -> None:
    """What answers and is no homeserver is said to be none."""
    with canned_control(dict(ANSWERS), server="nginx") as other:
        path = configured(tmp_path, other.address)
        status, said = failed(run("peers", "-c", path))
    assert status == 1
    assert said.startswith(f"another program answers at {other.address}; ")


def test_any_free_port(tmp_path: Path, control: CannedControl) -> None:
    """Where the port is any free one, the file beside the token says which."""
    path = configured(tmp_path, "127.0.0.1:0")
    file = path.parent / "control.address"
    status, said = failed(run("peers", "-c", path))
    assert (status, f"({file} is missing)" in said) == (2, True)
    listen, token = SocketAddress("127.0.0.1", 0), path.parent / "control.token"
    address_file.publish(listen, token, SocketAddress.parse(control.address))
    assert run("peers", "-c", path).exit_code == 0
    file.write_text("nonsense")
    status, said = failed(run("peers", "-c", path))
    assert (status, f"{file}: expected HOST:PORT" in said) == (2, True)
    address_file.remove(listen, token)
    address_file.remove(listen, token)
    assert not file.exists()


def test_port_that_is_configured(tmp_path: Path) -> None:
    """A port that the configuration says is written nowhere, and nothing removed."""
    token, file = tmp_path / "control.token", tmp_path / "control.address"
    where = SocketAddress("127.0.0.1", 1)
    address_file.publish(where, token, where)
    assert not file.exists()
    file.touch()
    address_file.remove(where, token)
    assert file.exists()
    assert address_file.find(where, token) == where


def test_lab(control: CannedControl, tmp_path: Path) -> None:
    """A daemon is named by its URL and a token, in options or in the environment."""
    url, file = f"http://{control.address}", tmp_path / "token"
    file.write_text("from-file\n")
    variables = {"HOMESERVER_LAB": url, "HOMESERVER_LAB_TOKEN": "from-env"}
    assert run("peers", "--lab", url, "--token-file", file).exit_code == 0
    assert run("peers", env=variables).exit_code == 0
    assert run("peers", "--token-file", file, env=variables).exit_code == 0
    tokens = [token for _, token, _ in control.asked]
    assert tokens == ["Bearer from-file", "Bearer from-env", "Bearer from-file"]


def test_configuration_over_the_environment(path: Path, control: CannedControl) -> None:
    """A configuration that is given wins over a URL in the environment."""
    done = run("peers", "-c", path, env={"HOMESERVER_LAB": "http://127.0.0.1:1"})
    assert done.exit_code == 0
    assert len(control.asked) == 1


def test_server(path: Path, control: CannedControl) -> None:
    """The server that is meant is said in each request."""
    run("send", "-c", path, "--server", "a.test", "b.test", "--edu", EDU)
    targets = [request for request, _, _ in control.asked]
    assert targets[0] == "POST /v1/send/b.test?server=a.test"
    assert all("server=a.test" in each for each in targets)


LABS: list[tuple[list[str], str]] = [
    (["--lab", "http://127.0.0.1:1"], "--lab needs --token-file FILE or HOMESERVER_LA"),
    (
        ["--lab", "https://127.0.0.1:1", "--token-file", "{token}"],
        "is not the URL of a",
    ),
    (["--lab", "127.0.0.1:8008", "--token-file", "{token}"], "is not the URL of a con"),
    *(
        (
            ["--lab", url, "--token-file", "{token}"],
            f"{url!r} is not the URL of a control API, http://HOST:PORT",
        )
        for url in (
            "",
            "http://a:x",
            "http://a:65536",
            "http://a..b",
            "http://[::1",
            "http://u@a:1",
            "http://a:1/x",
            "http://a:1/?x",
        )
    ),
    (["--lab", "http://127.0.0.1:1", "--token-file", "no"], "no cannot be read: No su"),
    (
        ["--lab", "http://127.0.0.1:1", "--token-file", "{empty}"],
        "empty has no token in it",
    ),
    (["--lab", "http://127.0.0.1:1", "-c", "x.toml"], "-c and --lab name two daemons"),
]


@pytest.mark.parametrize(("words", "message"), LABS)
def test_bad_lab(tmp_path: Path, words: list[str], message: str) -> None:
    """What does not name a daemon is a mistake of the caller."""
    (tmp_path / "token").write_text("t")
    (tmp_path / "empty").touch()
    files = {name: str(tmp_path / name) for name in ("token", "empty")}
    status, said = failed(run("peers", *(each.format(**files) for each in words)))
    assert status == 2
    assert message in said


@pytest.mark.parametrize("token", ["", "two words", "\udcff", "tök"])
def test_bad_token_in_the_environment(token: str) -> None:
    """What is no token is not sent."""
    variables = {"HOMESERVER_LAB_TOKEN": token}
    done = run("peers", "--lab", "http://127.0.0.1:1", env=variables)
    said = "HOMESERVER_LAB_TOKEN has no token in it, one word of ASCII\n"
    assert failed(done) == (2, said)


def test_lab_that_does_not_run(tmp_path: Path) -> None:
    """A look-up is not made without the daemon that a URL names."""
    (tmp_path / "token").write_text("t")
    options = ["--lab", "http://127.0.0.1:1", "--token-file", tmp_path / "token"]
    for command in ("resolve", "keys"):
        status, said = failed(run(command, *options, "b.test"))
        assert status == 1
        assert said.endswith("; start it with: homeserver lab\n")
