"""A daemon of several processes on one port and one store."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient, ControlError
from homeserver.control.views import Bounds
from scripts.processes import LOOPBACK, Endpoint, first_line, homeserver, make_endpoint
from tests.support.daemons import EDU, endpoints
from tests.support.endpoint_keys import published
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.several_servers import several
from tests.support.trusting_client import fetch
from tests.support.worker_processes import CONFIGURATION, WORKERS, workers_of


@pytest.fixture
def alpha(tmp_path: Path) -> Endpoint:
    """An endpoint with workers, which does not run yet."""
    return make_endpoint(tmp_path / "alpha", "alpha.test", CONFIGURATION)


@pytest.fixture
def process(alpha: Endpoint) -> Iterator[subprocess.Popen[str]]:
    """Its processes, all of them ready."""
    with alpha.running() as process:
        assert (
            first_line(process) == f"listening: alpha.test on {LOOPBACK}:{alpha.port}"
        )
        yield process


def listeners(port: int) -> int:
    """The sockets that listen at a port."""
    table = Path("/proc/net/tcp").read_text()
    return len(re.findall(rf": 0100007F:{port:04X} \S+ 0A ", table))


def is_replaced(process: subprocess.Popen[str], killed: int) -> bool:
    """Whether there are as many workers as before, and a killed one is none of them."""
    return len({*workers_of(process)} - {killed}) == WORKERS


def test_life(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """One line says that all are ready; all reload, and all finish."""
    assert len(workers_of(process)) == listeners(alpha.port) == WORKERS
    assert len(published(alpha).verify_keys) == 1
    signing_key = alpha.folder / "signing.key"
    signing_key.write_text(signing_key.read_text() + f"ed25519 a_2 {'A' * 43}\n")
    process.send_signal(signal.SIGHUP)
    # Connections go to each of them.
    eventually(lambda: {len(published(alpha).verify_keys) for _ in range(20)} == {2})
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=HANGING_SECONDS)
    assert (process.returncode, output) == (0, "")
    assert listeners(alpha.port) == 0


def test_control(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """Worker 1 answers for all, for one of them, and lets all forget."""
    client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))

    def limit(**chosen: int) -> object:
        answer = client.get("v1", "bounds", **chosen)
        bounds = msgspec.convert(answer, Bounds).bounds
        [found] = (b for b in bounds if b.name == "connections_by_client")
        return found.limit

    assert [limit(worker=n) for n in range(1, WORKERS + 1)] == [200] * WORKERS
    assert limit() == 600
    with pytest.raises(ControlError, match="which are 1 to 3"):
        limit(worker=4)
    for _ in range(20):
        published(alpha)
    pattern = rb'homeserver_http_requests_total\{listener="federation",.*\} (.*)'
    of_each = [
        sum(map(float, re.findall(pattern, metrics(alpha, f"?worker={number}"))))
        for number in range(1, WORKERS + 1)
    ]
    assert max(of_each) < sum(of_each) == 20  # connections go to each of them
    assert sum(map(float, re.findall(pattern, metrics(alpha, "")))) == 20
    assert client.delete("v1", "caches") == {}
    with pytest.raises(ControlError, match="nothing is known of a peer"):
        client.delete("v1", "peers", "x.test", "pin")
    assert alpha.log.read_text().count("DELETE /v1/peers/x.test/pin") == WORKERS


def test_refused(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """What any worker refused is listed at once, and forgotten by all."""
    client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
    for number in range(1, 13):
        assert fetch(alpha.port, "/_matrix/nothing").status == 404
        if number < 12:
            found = client.get("v1", "refused")["refused"]
            assert isinstance(found, list)
            assert len(found) == number
    client.delete("v1", "state", of="refused")
    assert client.get("v1", "refused")["refused"] == []


def metrics(endpoint: Endpoint, query: str) -> bytes:
    """The answer of `/metrics`."""
    config = load(endpoint.configuration).control
    assert config.listen is not None
    connection = http.client.HTTPConnection(config.listen.host, config.listen.port)
    token = config.token_file.read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with closing(connection):
        connection.request("GET", f"/metrics{query}", headers=headers)
        response = connection.getresponse()
        assert response.getheader("Content-Type", "").startswith("text/plain")
        return response.read()


def test_health(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """The daemon is well if all workers are."""
    [_, second, _] = workers_of(process)
    os.kill(second, signal.SIGSTOP)
    try:
        done = alpha.call("health")
        assert done.returncode == 1
        assert "worker 2 does not answer" in done.stdout + done.stderr
    finally:
        os.kill(second, signal.SIGCONT)
    eventually(lambda: alpha.call("health").returncode == 0)


def test_terminal(process: subprocess.Popen[str]) -> None:
    """A signal that a terminal sends to each of the processes ends them once."""
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(HANGING_SECONDS) == 0


def test_killed_workers(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """A worker that is killed is started again, also the first one."""
    for number in range(WORKERS):
        killed = workers_of(process)[number]
        os.kill(killed, signal.SIGKILL)
        eventually(partial(is_replaced, process, killed))
        eventually(lambda: listeners(alpha.port) == WORKERS)
    eventually(lambda: alpha.call("health").returncode == 0)
    log = alpha.log.read_text()
    assert "worker 1 (process " in log
    assert len(re.findall("was killed by signal 9; it is started again", log)) == 3


def test_killed_supervisor(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """Workers without a supervisor finish, and leave nothing behind."""
    process.kill()
    process.wait()
    eventually(lambda: listeners(alpha.port) == 0)


def test_two_signals(alpha: Endpoint, process: subprocess.Popen[str]) -> None:
    """The second signal ends what the first one lets finish."""
    with closing(socket.create_connection((LOOPBACK, alpha.port))) as client:
        client.sendall(b"\x16\x03\x01")  # of a handshake that does not go on
        process.send_signal(signal.SIGTERM)
        eventually(lambda: listeners(alpha.port) == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGING_SECONDS) in {0, 128 + signal.SIGTERM}


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_port_of_another_program(
    alpha: Endpoint, process: subprocess.Popen[str], tmp_path: Path, workers: str
) -> None:
    """A second daemon does not slip in beside the workers of the first one."""
    other = make_endpoint(
        tmp_path / "other", "alpha.test", "", f"{LOOPBACK}:{alpha.port}"
    )
    done = homeserver("run", "-c", str(other.configuration), "--workers", workers)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"listen: {LOOPBACK}:{alpha.port}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "in use" in done.stderr


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_one_store(tmp_path: Path, store: str, request: pytest.FixtureRequest) -> None:
    """What any worker has received is there once, in order, and told by worker 1."""
    with endpoints(tmp_path, "alpha.test", "beta.test") as (alpha, beta):
        text = f"\n[run]\nworkers = {WORKERS}\n"
        if store == "postgresql":
            url = request.getfixturevalue("postgres").new_store()
            text += f"\n[storage]\nurl = {json.dumps(url)}\n"
        with alpha.configuration.open("a") as file:
            file.write(text)
        with alpha.running() as process, beta.running() as other:
            first_line(process)
            first_line(other)
            for number in range(6):
                edu = EDU % number
                [sent] = beta.ask("send", "alpha.test", "--edu", edu, "--timeout", "60")
                assert sent["state"] == "delivered"
            received = alpha.ask("received", "--origin", "beta.test")
            [back] = alpha.ask("send", "beta.test", "--edu", EDU % 7)
            assert back["state"] == "delivered"
    numbers = [edu["content"]["number"] for each in received for edu in each["edus"]]
    assert numbers == list(range(6))


def test_several_servers(tmp_path: Path) -> None:
    """Each worker serves each of several servers, at the port of all or its own."""
    with several(tmp_path, ["a.test", "own.test"], "own.test") as made:
        with made.several.configuration.open("a") as file:
            file.write("\n[run]\nworkers = 2\n")
        with made.several.running() as process:
            assert process.stdout is not None
            lines = {first_line(process), process.stdout.readline().strip()}
            assert lines == {
                f"listening: {name} on {LOOPBACK}:{made.ports[name]}"
                for name in ("a.test", "own.test")
            }
            assert {listeners(made.ports[name]) for name in ("a.test", "own.test")} == {
                2
            }
