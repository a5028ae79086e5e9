"""A real daemon: what it serves, says, sends and receives, until it is ended."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import parse_v1, parse_v2
from scripts.processes import PROGRAM, Endpoint, first_line, make_endpoint
from tests.support.daemons import EDU, endpoints, running_alpha, send_in_vain
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.trusting_client import fetch


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[Endpoint]:
    """One endpoint that runs."""
    with running_alpha(tmp_path) as endpoint:
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
            line = send_in_vain(alpha, beta.name, EDU % 1)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_daemon(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT end the daemon with status 0."""
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", "")
    with endpoint.running() as process:
        first_line(process)
        process.send_signal(number)
        assert process.wait(timeout=HANGING_SECONDS) == 0
