"""Endpoints and name servers as real processes on the loopback interface.

Used by the scripts and by the tests. Every process ends with the context that started
it.
"""

import atexit
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"

AT_HOME = """
[dns]
servers = ["{nameserver}"]

[network]
allow = ["127.0.0.0/8"]
"""
"""What no default can know: where the name server is, and that peers are on the
loopback interface, which is refused otherwise."""

PROGRAM = Path(sys.executable).with_name("homeserver")

# Below those that the system gives to connections (on Linux, from 32768 on): one that
# is made before a server listens cannot have the server's.
_PORTS = range(20000, 32768)

# The ports that were given last, by the sockets that keep them from who looks for one.
_given: deque[socket.socket] = deque()

# Those of the servers of several tests that have not begun to listen.
_MOST_GIVEN = 64

_SECONDS_TO_START = 120.0  # a slow machine needs two
_SECONDS_TO_STOP = 60.0  # an endpoint takes ten at most
_SECONDS_TO_ANSWER = 180.0  # any command; machines are shared

_MOST_SAID = 4_000  # characters of a log in an error


OWN_ERRORS = re.compile(r"^\S+ critical |Traceback|ResourceWarning", re.MULTILINE)
"""What a program of ours says where it has a mistake."""


class ProcessError(Exception):
    """A process did not do what it should; `str()` says what it said."""


@dataclass
class Endpoint:
    """The folder of an endpoint, and the process that runs there if one does."""

    folder: Path
    name: str
    port: int
    within: Sequence[str] = ()
    """A command that its processes are run by, such as `nsenter`; empty for none."""

    @property
    def configuration(self) -> Path:
        """Its `homeserver.toml`."""
        return self.folder / "homeserver.toml"

    @property
    def log(self) -> Path:
        """The standard error of its processes."""
        return self.folder / "stderr.log"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """Run the daemon; it may still be starting.

        Raises `ProcessError` at the end if it has logged an error of its own.
        """
        command = [*self.within, str(PROGRAM), "run", "-c", str(self.configuration)]
        before = self.log.stat().st_size if self.log.exists() else 0
        with running(command, self.log) as process:
            yield process
        # Who was killed may have written half of a character.
        said = self.log.read_bytes()[before:].decode(errors="replace")
        _check(f"the log of {self.name}", said)

    def ask(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        """The lines that a command prints with `--json`.

        Raises `ProcessError` if it fails.
        """
        done = self.call(command, "--json", *arguments)
        return parse_answer(self.name, command, done)

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this endpoint to its end."""
        return homeserver(
            command, "-c", str(self.configuration), *arguments, within=self.within
        )

    def spell(self, command: str) -> str:
        """The command line of a command of this endpoint."""
        return f"{PROGRAM} {command} -c {self.configuration}"


def parse_answer(
    name: str, command: str, done: subprocess.CompletedProcess[str]
) -> list[dict[str, Any]]:
    """The lines that a command of an endpoint printed; `ProcessError` if it failed."""
    if done.returncode != 0:
        raise ProcessError(
            f"`homeserver {command}` of {name} ended with {done.returncode}: "
            f"{done.stderr.strip()}"
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def homeserver(
    *arguments: str, within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; raises `ProcessError` for an error of its own."""
    done = subprocess.run(
        [*within, str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_ANSWER,
    )
    _check(f"`homeserver {arguments[0]}`", done.stderr)
    return done


def _check(what: str, said: str) -> None:
    """Raise `ProcessError` if a program of ours has said that it has a mistake."""
    if OWN_ERRORS.search(said):
        raise ProcessError(f"an error of our own in {what}:\n{said}")


def make_endpoint(
    folder: Path,
    name: str,
    configuration: str,
    listen: str | None = None,
    within: Sequence[str] = (),
) -> Endpoint:
    """Make the files of an endpoint; `configuration` is added.

    It listens at `listen` (HOST:PORT), or on a free port.
    """
    port, control_port = free_ports(2)
    listen = listen or f"{LOOPBACK}:{port}"
    done = homeserver(
        "init",
        "--server-name",
        name,
        "--listen",
        listen,
        "--control",
        f"{LOOPBACK}:{control_port}",
        str(folder),
    )
    if done.returncode != 0:
        raise ProcessError(f"`homeserver init` for {name}: {done.stderr.strip()}")
    endpoint = Endpoint(folder, name, int(listen.rpartition(":")[2]), within)
    with endpoint.configuration.open("a") as file:
        file.write(configuration)
    return endpoint


@contextmanager
def running_nameserver(
    address: str, zone: Sequence[str], log: Path, within: Sequence[str] = ()
) -> Iterator[str]:
    """A name server that serves `zone` at `address` (HOST:PORT); where it listens."""
    command = [*within, sys.executable, "-m", "scripts.nameserver", address]
    with running(command, log) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write("\n".join([*zone, "", ""]))
        process.stdin.flush()
        yield first_line(process).removeprefix("listening: ")


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the context; its standard error goes to `log`.

    If it has ended before, a `ProcessError` in the context says what is in `log`.
    """
    with log.open("a") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=Path(__file__).parent.parent,
            # Ctrl-C is for the starting process, which then ends the others.
            start_new_session=True,
        )
    try:
        yield process
    except ProcessError as problem:
        if process.poll() is None:
            raise
        said = log.read_text(errors="replace")[-_MOST_SAID:]
        raise ProcessError(f"{problem}\n{log}:\n{said}") from problem
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line that a process prints, which says that it is ready.

    Raises `ProcessError` if there is none.
    """
    assert process.stdout is not None  # noqa: S101 - for the type checker
    watchdog = threading.Timer(_SECONDS_TO_START, process.kill)
    watchdog.start()
    line = process.stdout.readline().strip()
    watchdog.cancel()
    if not line:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_STOP)
        raise ProcessError(f"{process.args!r:.200} ended, or took too long to start")
    return line


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing has, and that nobody is given soon.

    A server can listen on them if it sets `SO_REUSEADDR`, as servers do.
    """
    return [_give_port() for _ in range(count)]


def _give_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        bound = socket.socket()
        try:
            bound.bind((LOOPBACK, port))
        except OSError:
            bound.close()
            continue
        # From now on it is shared with who sets this too; one who looks does not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _given.append(bound)
        # Elsewhere than on Linux, nobody could listen while it is bound.
        while len(_given) > (_MOST_GIVEN if sys.platform == "linux" else 0):
            _given.popleft().close()
        return port


@atexit.register
def _give_back() -> None:
    """Close what would be reported as left open."""
    while _given:
        _given.popleft().close()
