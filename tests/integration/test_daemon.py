"""Real daemons, asked by real commands."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from homeserver.config import reader
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from scripts.processes import (
    LOOPBACK,
    PROGRAM,
    Endpoint,
    first_line,
    homeserver,
    make_endpoint,
)
from tests.support.daemons import EDU, endpoints
from tests.support.eventually import eventually
from tests.support.trusting_client import fetch


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[Endpoint]:
    """One endpoint that runs."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        listening = f"listening: alpha.test on {LOOPBACK}:{endpoint.port}"
        assert first_line(process) == listening
        yield endpoint


def test_key_documents_are_served(alpha: Endpoint) -> None:
    """Both documents check, and the first names the certificate of the connection."""
    name = ServerName.parse("alpha.test")
    status, body, certificate = fetch(alpha.port, "/_matrix/key/v1")
    assert status == 200
    assert parse_v1(body, name).tls_certificate == certificate
    status, body, _ = fetch(alpha.port, "/_matrix/key/v2/server")
    assert status == 200
    assert parse_v2(body, name).old_verify_keys == {}


def test_reload_takes_up_a_new_key_and_certificate(tmp_path: Path) -> None:
    """After SIGHUP another signing key signs too and another certificate is shown."""
    name = ServerName.parse("alpha.test")
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    fresh = make_endpoint(tmp_path / "fresh", "alpha.test", "")
    with alpha.running() as process:
        first_line(process)
        _, before, old_certificate = fetch(alpha.port, "/_matrix/key/v1")
        with (alpha.folder / "signing.key").open("a") as file:
            file.write((fresh.folder / "signing.key").read_text())
        for part in ("tls.crt", "tls.key"):
            (alpha.folder / part).write_bytes((fresh.folder / part).read_bytes())
        process.send_signal(signal.SIGHUP)
        eventually(lambda: fetch(alpha.port, "/_matrix/key/v1").body != before)
        _, body, certificate = fetch(alpha.port, "/_matrix/key/v1")
    document = parse_v1(body, name)
    assert document.tls_certificate == certificate != old_certificate
    assert len(document.verify_keys) == len(document.signatures) == 2


def test_what_to_look_after_is_said(tmp_path: Path) -> None:
    """Remarks are in the log at the start and after a reload, and in the health."""
    alpha = make_endpoint(tmp_path / "alpha", "Alpha.test", "")
    capitals = "the server name Alpha.test has capitals; "
    with alpha.running() as process:
        first_line(process)
        [health] = alpha.ask("health")
        [remark] = health["remarks"]
        assert remark.startswith(capitals)
        assert capitals in alpha.log.read_text()
        text = alpha.configuration.read_text()
        alpha.configuration.write_text(f"shutdown_seconds = 3\n{text}")
        process.send_signal(signal.SIGHUP)
        changed = "a restart is needed to take up what changed: shutdown_seconds"
        eventually(lambda: changed in alpha.log.read_text())
        log = alpha.log.read_text()
        assert "Alpha.test: signing keys and certificate are as they were" in log
        [health] = alpha.ask("health")
        assert health["remarks"] == [changed, remark]
        assert alpha.call("health").stdout == (
            f"ok\nremark: {changed}\nremark: {remark}\n"
        )


def test_what_is_queued_outlives_both_ends(tmp_path: Path) -> None:
    """An undelivered transaction is told as such, kept over kill -9, and delivered.

    The destination starts only after the origin was killed and started again.
    """
    with endpoints(tmp_path, "alpha.test", "beta.test") as [alpha, beta]:
        with alpha.running() as process:
            first_line(process)
            done = alpha.call("send", "--timeout", "1", beta.name, "--edu", EDU % 1)
            assert done.returncode == 1
            [line] = done.stderr.splitlines()
            assert line.startswith("not delivered yet, it stays queued under ID 1: ")
            assert "beta.test cannot be reached" in line
            assert f"beta.test:{beta.port}" in line
            assert "refused" in line
            process.kill()
        with alpha.running() as process, beta.running() as other:
            first_line(process)
            first_line(other)
            [state] = alpha.ask("send", beta.name, "--edu", EDU % 2)
            assert "DNSDatagramProtocol" not in alpha.log.read_text()
            assert state["state"] == "delivered"
            transactions = beta.ask("received", "--origin", "alpha.test")
            numbers = [
                edu["content"]["number"] for t in transactions for edu in t["edus"]
            ]
            assert numbers == [1, 2]
            assert state["txn_id"] == transactions[-1]["txn_id"]


def test_refused_addresses_are_told_with_their_key(tmp_path: Path) -> None:
    """The error of a refused loopback address names the key to set."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        done = endpoint.call("send", "--timeout", "1", "127.0.0.1:1", "--edu", EDU % 1)
    assert done.returncode == 1
    assert "127.0.0.1 is in the refused range 127.0.0.0/8" in done.stderr
    assert 'set allow = ["127.0.0.1"] in [network]' in done.stderr


def test_received_follows(tmp_path: Path) -> None:
    """`received --follow` prints a transaction when it comes."""
    with ExitStack() as stack:
        alpha, beta = stack.enter_context(
            endpoints(tmp_path, "alpha.test", "beta.test")
        )
        for each in (alpha, beta):
            first_line(stack.enter_context(each.running()))
        follower = subprocess.Popen(
            [PROGRAM, "received", "-c", beta.configuration, "--follow", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(follower.communicate)
        stack.callback(follower.terminate)
        alpha.ask("send", beta.name, "--edu", EDU % 7)
        assert follower.stdout is not None
        transaction: dict[str, Any] = json.loads(follower.stdout.readline())
    assert transaction["edus"] == [json.loads(EDU % 7)]


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


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ('["127.0.0.0/8", "::1"]', " for clients in 127.0.0.0/8, ::1/128\n"),
        ("[]", None),
    ],
)
def test_trusted_clients_are_reported_at_start(
    ranges: str, expected: str | None, tmp_path: Path
) -> None:
    """The log names the ranges without shares and budgets, if there are any."""
    tables = f"[limits]\ntrusted_clients = {ranges}\n"
    alpha = make_endpoint(tmp_path / "alpha", "alpha.test", tables)
    with alpha.running() as process:
        first_line(process)
        log = alpha.log.read_text()
    if expected is None:
        assert "trusted_clients" not in log
    else:
        assert expected in log


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_daemon(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT end the daemon with status 0."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


def test_peers_and_keys_are_shown_and_forgotten(tmp_path: Path) -> None:
    """A peer's documents, its pin and its back-off are told, and can be changed."""
    with (
        endpoints(tmp_path, "alpha.test", "beta.test") as [alpha, beta],
        alpha.running() as process,
        beta.running() as other,
    ):
        first_line(process)
        first_line(other)
        [report] = alpha.ask("keys", beta.name)
        assert report["verified_by"] == "key-document"
        assert report["route"]["port"] == beta.port
        assert report["v1"]["problems"] == report["v2"]["problems"] == []
        keys = report["v1"]["document"]["verify_keys"]
        alpha.ask("send", beta.name, "--edu", EDU % 1)
        [peer] = alpha.ask("peers")
        assert peer["server_name"] == beta.name
        assert peer["verified_by"] == "key-document"
        assert peer["pinned_keys"] == keys
        assert peer["certificate_sha256"] == report["certificate_sha256"]
        assert (peer["queued"], peer["failures"]) == (0, 0)
        assert alpha.call("peers", "--forget", beta.name).returncode == 0
        assert alpha.ask("peers") == []
        assert alpha.call("peers", "--forget", beta.name).returncode == 1
        assert alpha.call("peers", "--retry", "no.test").returncode == 1


def test_a_retry_ends_a_back_off(tmp_path: Path) -> None:
    """A destination that is down is told with its failures, and tried when asked."""
    endpoint = make_endpoint(
        tmp_path / "alpha", "alpha.test", "[sending]\nfirst_retry_seconds = 3000\n"
    )
    with endpoint.running() as process:
        first_line(process)
        endpoint.call("send", "--timeout", "1", "127.0.0.1:1", "--edu", EDU % 1)
        [before] = endpoint.ask("peers")
        assert (before["queued"], before["failures"]) == (1, 1)
        assert "refused range" in before["last_error"]
        assert endpoint.call("peers", "--retry", "127.0.0.1:1").returncode == 0
        last = {None, before["next_attempt_ts"]}
        eventually(lambda: endpoint.ask("peers")[0]["next_attempt_ts"] not in last)


def test_unreachable_keys_are_told(alpha: Endpoint) -> None:
    """A server that cannot be reached has no keys to show, and it is told why."""
    done = alpha.call("keys", "127.0.0.1:1")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("127.0.0.1:1 cannot be reached")
