"""`homeserver resolve` as a person runs it, against a name server."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.config.reader import load
from scripts.processes import PROGRAM, Endpoint, first_line, make_endpoint
from tests.support.dns_answers import code, srv
from tests.support.name_servers import NameServer, serving
from tests.support.waiting import pause, wait

REACHED = "8.8.8.8"  # it is not connected to

ADDRESS_REFUSED = (
    "no delegation: 127.0.0.1 is in the refused range 127.0.0.0/8; to allow it, "
    'set allow = ["127.0.0.1"] in [network]'
)
STEPS = [
    f"well-known: https://a.test/.well-known/matrix/server: {ADDRESS_REFUSED}",
    "srv: _matrix-fed._tcp.a.test: no such record",
    "srv: _matrix._tcp.a.test: 5 1 8000 s.test, 6 1 8001 c.test",
    "srv: c.test: is an alias of s.test, which RFC 2782 forbids",
]


@dataclass(frozen=True)
class Command:
    """The program, with a configuration that names the name server."""

    endpoint: Endpoint
    server: NameServer

    def run(
        self, *arguments: str, command: str = "resolve"
    ) -> subprocess.CompletedProcess[str]:
        """Run `homeserver resolve` to its end, while the name server answers."""
        process = subprocess.Popen(
            [PROGRAM, command, "-c", self.endpoint.configuration, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        async def finish() -> None:
            while process.poll() is None:
                await pause(0.01)

        try:
            wait(finish())
        finally:
            process.kill()
            out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command, and a name server with one server name that has records."""
    server = NameServer(
        "a.test A 127.0.0.1",
        "_matrix._tcp.a.test SRV 6 1 8001 c.test",
        "_matrix._tcp.a.test SRV 5 1 8000 s.test",
        f"s.test A {REACHED}",
        "_matrix-fed._tcp.refused.test SRV 0 0 1 at.home.test",
        "at.home.test A 127.0.0.1",
        "_matrix-fed._tcp.lost.test SRV 0 0 1 nowhere.test",
        "_matrix-fed._tcp.half.test SRV 0 0 1 nowhere.test",
        "_matrix-fed._tcp.half.test SRV 1 0 1 s.test",
        "c.test CNAME s.test",
    )
    server.special["_matrix-fed._tcp.down.test"] = code(2)
    server.special["_matrix-fed._tcp.none.test"] = srv((0, b""))
    with serving(server):
        folder = tmp_path_factory.mktemp("alpha") / "alpha"
        configuration = f'[dns]\nservers = ["{server.address}"]\n'
        endpoint = make_endpoint(folder, "alpha.test", configuration)
        yield Command(endpoint, server)


def said(command: Command) -> str:
    """What is said first where no daemon runs."""
    path = command.endpoint.configuration
    where = load(path).control.listen
    return (
        f"asked without a daemon: no daemon answers at {where} (Connection refused); "
        f"start it with: homeserver run -c {path}\n"
    )


def test_text(command: Command) -> None:
    """Each step and each route is a line, and the status is 0.

    A target that is an alias, as none may be, is told, and that no daemon was asked.
    What to change stands at the end.
    """
    done = command.run("a.test")
    assert done.stderr == said(command)
    assert done.returncode == 0
    *lines, alias, service = done.stdout.splitlines()
    assert alias.startswith("hint: the target of an SRV record is an alias")
    assert service.startswith("hint: the service `_matrix._tcp` is deprecated")
    assert lines == STEPS + [
        f"route {number}: connect to {way}, Host: a.test, certificate for a.test; "
        f"{REACHED}"
        for number, way in (
            (1, "s.test port 8000 (priority 5, weight 1)"),
            (2, "c.test port 8001 (priority 6, weight 1)"),
        )
    ]


def test_json(command: Command) -> None:
    """With `--json`, the same is one object on one line."""
    done = command.run("--json", "a.test")
    assert (done.returncode, done.stderr) == (0, said(command))
    [line] = done.stdout.splitlines()
    result = json.loads(line)
    assert result["server_name"] == "a.test"
    assert [
        f"{step['step']}: {step['asked']}: {step['found']}" for step in result["steps"]
    ] == STEPS
    assert result["routes"] == [
        {
            "host": host,
            "port": port,
            "host_header": "a.test",
            "certificate_name": "a.test",
            "srv_priority": priority,
            "srv_weight": 1,
            "addresses": [REACHED],
        }
        for host, port, priority in (("s.test", 8000, 5), ("c.test", 8001, 6))
    ]


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        (
            "refused.test",
            "127.0.0.1 is in the refused range 127.0.0.0/8",
            "add it to `[network] allow`",
        ),
        (
            "127.0.0.1:1",
            "127.0.0.1 is in the refused range 127.0.0.0/8",
            "add it to `[network] allow`",
        ),
        ("lost.test", "nowhere.test has no address", "publish an A or AAAA record"),
    ],
)
def test_route_without_an_address(
    command: Command, name: str, reason: str, advice: str
) -> None:
    """A route that leads nowhere says why, and the status is 1 if each does."""
    done = command.run(name)
    assert done.returncode == 1
    *_, route, hint = done.stdout.splitlines()
    assert advice in hint
    assert f": {reason}" in route
    [line] = done.stderr.removeprefix(said(command)).splitlines()
    assert line.startswith(f"no route to {name} can be used: {reason}")


def test_one_route_that_can_be_used(command: Command) -> None:
    """One route with an address is enough, whatever is wrong with the others."""
    done = command.run("half.test")
    assert (done.returncode, done.stderr) == (0, said(command))
    first, second, hint = done.stdout.splitlines()[-3:]
    assert hint.startswith("hint: a host has no address")
    assert "nowhere.test has no address" in first
    assert second.endswith(f"; {REACHED}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("down.test", "the name server answers SERVFAIL"),
        ("none.test", "the service is not available"),
    ],
)
def test_no_way(command: Command, name: str, reason: str) -> None:
    """Where there is no way, the steps are shown, and the status is 1 with a line."""
    done = command.run(name)
    assert done.returncode == 1
    assert f"\nsrv: _matrix-fed._tcp.{name}: " in done.stdout
    assert done.stderr.startswith(said(command))
    [line] = done.stderr.removeprefix(said(command)).splitlines()
    assert line.startswith(f"{name} cannot be resolved: SRV _matrix-fed._tcp.{name}")
    assert line.endswith(reason)


def test_mistake(command: Command) -> None:
    """A caller's mistake has the status 2, and no name server is asked."""
    before = len(command.server.asked)
    done = command.run("a_b.test")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not a server name" in done.stderr
    assert len(command.server.asked) == before


@pytest.fixture
def daemon(command: Command) -> Iterator[Command]:
    """The command, where the daemon runs."""
    with command.endpoint.running() as process:
        first_line(process)
        yield command


def resolve(daemon: Command) -> tuple[list[dict[str, Any]], list[str]]:
    """The steps of resolving, and what the name server was asked for them."""
    before = len(daemon.server.asked)
    done = daemon.run("--json", "c.test")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)["steps"], daemon.server.asked[before:]


QUESTIONS = ["SRV _matrix-fed._tcp.c.test", "SRV _matrix._tcp.c.test"]


def test_a_daemon_is_asked(daemon: Command) -> None:
    """What it remembers is marked, and looked up again once it is forgotten."""
    steps, asked = resolve(daemon)
    assert [step for step in steps if "kept_until_ts" in step] == []
    assert [each for each in asked if each in QUESTIONS] == QUESTIONS
    now_ts = time.time_ns() // 1_000_000
    steps, asked = resolve(daemon)
    # An address behind an alias is not kept.
    assert {each.split()[-1] for each in asked} <= {"c.test"}
    document, *services, fallback = steps
    assert 0 < document["kept_until_ts"] - now_ts < 60_000
    assert [0 < each["kept_until_ts"] - now_ts <= 60_000 for each in services] == [
        True,
        True,
    ]
    assert "kept_until_ts" not in fallback
    text = daemon.run("c.test").stdout.splitlines()
    assert all("(kept answer, for " in line for line in text[:3])
    done = daemon.run("--retry", "c.test", command="peers")
    assert (done.returncode, done.stderr) == (0, "")
    steps, asked = resolve(daemon)
    assert [each for each in asked if each in QUESTIONS] == QUESTIONS
    assert [step for step in steps if "kept_until_ts" in step] == []


def test_keys_by_a_daemon(daemon: Command) -> None:
    """Where a server's keys cannot be had, what the daemon remembers stands above."""
    daemon.run("c.test")
    done = daemon.run("c.test", command="keys")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("well-known: https://c.test/.well-known/matrix/server: ")
    assert lines[1].startswith("SRV: _matrix-fed._tcp.c.test: no such record (kept ")
    [line] = done.stderr.splitlines()
    assert line.startswith("c.test cannot be reached")


def test_a_daemon_with_another_token(daemon: Command) -> None:
    """Another endpoint's daemon at that address is not this one's."""
    token = daemon.endpoint.folder / "control.token"
    right = token.read_bytes()
    token.write_bytes(b"another")
    try:
        done = daemon.run("a.test")
    finally:
        token.write_bytes(right)
    assert done.returncode == 0
    assert done.stderr.startswith(f"asked without a daemon: the token in {token} is ")
