"""What keeps a daemon or a command from its work is told in a line."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from homeserver.config import reader
from scripts.processes import Endpoint, homeserver, make_endpoint
from tests.support.daemons import running_alpha


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[Endpoint]:
    """One endpoint that runs."""
    with running_alpha(tmp_path) as endpoint:
        yield endpoint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resolve", "exa_mple.org"], "not a server name"),
        (["send", "alpha.test:x"], "not a server name"),
        (["send", "beta.test", "--edu", "{"], "not JSON"),
        (["send", "beta.test", "--timeout", "nan"], "--timeout: nan is no"),
        (["received", "--origin", ""], "not a server name"),
        (["run", "-c", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["init", "--server-name", "a_b", "x"], "not a server name"),
        (["init", "--server-name", "a.b", "--listen", "99", "x"], "--listen: expected"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    """A caller's mistake ends with 2 and one line on standard error."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    command, *rest = arguments
    if command in {"run", "init"}:
        done = homeserver(*arguments)
    else:
        done = endpoint.call(command, *rest)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line


def test_all_mistakes_of_a_configuration_are_told(tmp_path: Path) -> None:
    """A configuration with mistakes ends with 2 and names each of them."""
    path = tmp_path / "homeserver.toml"
    path.write_text('server_name = "a_b"\nlisten = "x"\ncolour = "red"\n')
    done = homeserver("run", "-c", str(path))
    assert done.returncode == 2
    mistakes = ("line 1: server_name", "line 2: listen", "line 3: colour")
    for key in (*mistakes, "tls.certificate", "signing.key"):
        assert f"{path}: {key}" in done.stderr


def test_authorities_that_are_none_are_told_at_the_start(tmp_path: Path) -> None:
    """A `ca_file` without certificates keeps the daemon from starting."""
    tables = '[verification]\nca_file = "tls.key"\n'
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", tables)
    done = alpha.call("run")
    assert done.returncode == 2
    path = alpha.folder / "tls.key"
    assert f"verification.ca_file: {path} has no PEM certificates in it" in done.stderr


def test_a_taken_port_is_told(alpha: Endpoint, tmp_path: Path) -> None:
    """A second daemon on the same port ends with 2 and says which key it is."""
    done = alpha.call("run")
    assert done.returncode == 2
    assert "listen: " in done.stderr
    assert done.stderr.endswith(
        ": Address already in use; choose another port, or 0 for a free one\n"
    )


@pytest.mark.parametrize("token", [b"", b"two words", b"two\nlines", b"\xff", b"\0"])
def test_a_token_that_no_header_carries_is_told(token: bytes, tmp_path: Path) -> None:
    """The daemon and the command report a missing token, and not what is there."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    (endpoint.folder / "control.token").write_bytes(token)
    for command in ("run", "peers"):
        done = endpoint.call(command)
        assert done.returncode == 2
        [line] = done.stderr.splitlines()
        assert line.endswith("control.token has no token in it, one word of ASCII")


class _Other(BaseHTTPRequestHandler):
    """What another program answers, which may be JSON as well."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_another_program_is_told(tmp_path: Path) -> None:
    """What another program answers is not taken for the daemon's answer."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    where = reader.load(endpoint.configuration).control.listen
    assert where is not None
    with HTTPServer((where.host, where.port), _Other) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            done = endpoint.call("peers")
        finally:
            server.shutdown()
            thread.join()
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"another program answers at {where}")


def test_no_daemon_is_told(tmp_path: Path) -> None:
    """A command that needs the daemon says how to start it."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    done = endpoint.call("received")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert f"homeserver run -c {endpoint.configuration}" in line
