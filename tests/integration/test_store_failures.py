"""Real daemons whose store fails: they say so, answer 503, and go on by themselves."""

import http.client
import resource
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from scripts.processes import Endpoint, first_line
from tests.support.daemons import EDU, endpoints
from tests.support.eventually import eventually
from tests.support.postgres_server import Server, fast_server

_LIMIT_SECONDS = 60.0  # for what takes seconds; machines are shared

Process = subprocess.Popen[str]

Failure = Callable[[Endpoint, Process], AbstractContextManager[None]]


def health(endpoint: Endpoint) -> int:
    """The status that `/health` answers with."""
    with endpoint.configuration.open("rb") as file:
        listen = tomllib.load(file)["control"]["listen"]
    connection = http.client.HTTPConnection(listen, timeout=_LIMIT_SECONDS)
    with closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status


def numbers(endpoint: Endpoint) -> list[int]:
    """The numbers in the EDUs that an endpoint has acknowledged, in order."""
    return [
        edu["content"]["number"]
        for transaction in endpoint.ask("received")
        for edu in transaction["edus"]
    ]


@contextmanager
def full(endpoint: Endpoint, process: Process) -> Iterator[None]:
    """No file of the process can grow beyond what the store has now."""
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    path = endpoint.folder / "homeserver.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        # As long as somebody reads what is in the log, it is not written over. It is
        # made large enough for what the process says on standard error to fit.
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for _ in range(25):
            other.execute("UPDATE last_received SET id = id + 1")
        other.execute("BEGIN")
        other.execute("SELECT * FROM last_received").fetchall()
        size = path.with_name("homeserver.db-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, most))
        yield
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def locked(endpoint: Endpoint, process: Process) -> Iterator[None]:
    """Another process has locked the file."""
    path = endpoint.folder / "homeserver.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def moved(endpoint: Endpoint, process: Process) -> Iterator[None]:
    """Another process has moved the file away, and puts it back."""
    path = endpoint.folder / "homeserver.db"
    away = path.rename(endpoint.folder / "away.db")
    yield
    assert not path.exists()
    away.rename(path)


def show_the_failure(folder: Path, configuration: str, failure: Failure) -> None:
    """Send something before, while and after the store of the receiver fails."""
    with endpoints(folder, "alpha.test", "beta.test") as [alpha, beta]:
        with beta.configuration.open("a") as file:
            file.write(configuration)
        with alpha.running() as process, beta.running() as failing:
            first_line(process)
            first_line(failing)
            alpha.ask("send", beta.name, "--edu", EDU % 1)
            with failure(beta, failing):
                queued = alpha.call(
                    "send", "--timeout", "0", beta.name, "--edu", EDU % 2
                )
                assert queued.returncode == 1
                error = eventually(lambda: alpha.ask("peers")[0]["last_error"])
                assert "503" in error
                assert "the store is not available" in error
                assert health(beta) == 503
            eventually(lambda: health(beta) == 200)
            alpha.ask("send", beta.name, "--edu", EDU % 3)
            assert numbers(beta) == [1, 2, 3]
        log = beta.log.read_text()
    assert log.count("until the store is back, requests that need it") == 1
    assert log.count("the store is back\n") == 1


@pytest.mark.parametrize("failure", [full, moved, locked])
def test_a_file_that_fails(tmp_path: Path, failure: Failure) -> None:
    """Senders get 503 and send again, the log has a line, and nothing is lost."""
    show_the_failure(tmp_path, "", failure)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that can be stopped."""
    with fast_server() as server:
        yield server


def test_a_server_that_is_gone(tmp_path: Path, server: Server) -> None:
    """That is so for PostgreSQL too, which is stopped and started again."""

    @contextmanager
    def stopped(endpoint: Endpoint, process: Process) -> Iterator[None]:
        server.stop()
        yield
        server.start()

    url = f'\n[storage]\nurl = "{server.new_store()}"\n'
    show_the_failure(tmp_path, url, stopped)


def test_a_server_that_is_not_there_at_the_start(
    tmp_path: Path, server: Server
) -> None:
    """A start without a store ends with one line about it."""
    server.stop()
    with endpoints(tmp_path, "alpha.test") as [alpha]:
        with alpha.configuration.open("a") as file:
            file.write(f'\n[storage]\nurl = "{server.url()}"\n')
        done = alpha.call("run")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "storage.url: PostgreSQL cannot be used: connection failed" in line
