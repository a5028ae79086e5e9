"""Clients that others wrote, run as programs; a test is skipped where one is missing.

Rules: none of them is of Python, so that they share no mistake with what they test.
"""

import shutil
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.eventually import HANGING_SECONDS
from tests.support.json_lines import running

_PROGRAMS = Path(__file__).parent.parent / "integration"


@dataclass(frozen=True)
class Ran:
    """What came of a program."""

    code: int
    out: str
    err: str


def run(*command: str, seconds: float = HANGING_SECONDS, **environment: str) -> Ran:
    """Run a program to its end; skips the test if it is not installed."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        check=False,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        env=environment or None,
    )
    out, err = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    return Ran(done.returncode, out, err)


@dataclass(frozen=True)
class Dug:
    """An answer that `dig` has read."""

    status: str
    """As in `NXDOMAIN`; empty without an answer."""

    records: list[str]
    flags: list[str]
    err: str = field(compare=False)


def dig(where: str, name: str, kind: str = "A", *options: str) -> Dug:
    """Ask a name server at HOST:PORT once, as `dig` does without trying again."""
    host, _, port = where.rpartition(":")
    server = [f"@{host.strip('[]')}", "-p", port]
    plain = ["+tries=1", "+time=60", "+nocookie", "+noall", "+comments", "+answer"]
    ran = run("dig", *server, *plain, *options, name, kind)
    said = [line for line in ran.out.splitlines() if line]
    heads = [line for line in said if "status: " in line]
    flags = [line for line in said if line.startswith(";; flags:")]
    return Dug(
        heads[0].partition("status: ")[2].partition(",")[0] if heads else "",
        [" ".join(line.split()) for line in said if not line.startswith(";")],
        flags[0].partition("flags:")[2].partition(";")[0].split() if flags else [],
        ran.err + "\n".join(line for line in said if line.startswith(";;")),
    )


@dataclass(frozen=True)
class Asked:
    """A request to a name at HOST:PORT; the members are those of the programs."""

    Address: str
    Name: str
    CaFile: str
    Path: str = "/_matrix/federation/v1/version"
    Method: str = "GET"
    Body: str = ""
    Authorization: str = ""
    Seconds: float = HANGING_SECONDS


@dataclass(frozen=True)
class Got:
    """What came of it."""

    status: int
    """0 without a response."""

    headers: dict[str, str]
    """By their names in small letters."""

    body: bytes
    error: str
    """Empty if there is a whole response."""


Client = Callable[[Asked], Got]

CLIENTS = ("curl", "go", "node")


def curl(asked: Asked) -> Got:
    """Ask by curl."""
    name = asked.Name
    command = ["curl", "--silent", "--show-error", "--include", "--request"]
    command += [asked.Method, "--max-time", str(asked.Seconds), "--http1.1"]
    command += ["--cacert", asked.CaFile, "--connect-to", f"{name}:443:{asked.Address}"]
    if asked.Body:
        command += ["--data", asked.Body]
    if asked.Authorization:
        command += ["--header", f"Authorization: {asked.Authorization}"]
    program = shutil.which(command[0])
    if program is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        [program, *command[1:], f"https://{name}{asked.Path}"],
        capture_output=True,
        check=False,
        timeout=asked.Seconds + 30,
    )
    status, headers, rest = 0, dict[str, str](), done.stdout
    # A response may come after several interim ones.
    while rest.startswith(b"HTTP/") and status < 200:
        head, _, rest = rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status, headers = int(first.split()[1]), {}
        for line in lines:
            field_name, _, value = line.partition(":")
            known = headers.get(field_name.lower())
            value = value.strip() if known is None else f"{known}, {value.strip()}"
            headers[field_name.lower()] = value
    error = done.stderr.decode("utf-8", "replace").partition("\n")[0]
    return Got(status, headers, rest, error)


@contextmanager
def client_of(name: str) -> Iterator[Client]:
    """One of `CLIENTS`."""
    made: dict[str, Callable[[], AbstractContextManager[Client]]]
    made = {"curl": lambda: nullcontext(curl), "go": go, "node": node}
    with made[name]() as client:
        yield client


@contextmanager
def go() -> Iterator[Client]:
    """Ask by Go's own client, of one file that needs the standard library alone."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "ask"
        built = run(
            "go",
            "build",
            "-o",
            str(program),
            str(_PROGRAMS / "go" / "ask.go"),
            seconds=1200,
        )
        assert built.code == 0, built.err
        with _asking(program) as client:
            yield client


@contextmanager
def node() -> Iterator[Client]:
    """Ask by Node's own client."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")
    with _asking(program, _PROGRAMS / "node" / "ask.mjs") as client:
        yield client


@contextmanager
def _asking(*command: str | Path) -> Iterator[Client]:
    with running(command) as program:

        def ask(asked: Asked) -> Got:
            answer = program.ask(asdict(asked))
            body = b64decode(answer["body"] or "")
            return Got(answer["status"], answer["headers"] or {}, body, answer["error"])

        yield ask
