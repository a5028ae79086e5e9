"""What a service manager is told, by a socket that is as real as systemd's."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from homeserver.app.systemd import ServiceManager, Watchdog
from scripts.processes import PROGRAM

UNIT = Path(__file__).parent.parent.parent / "conf" / "homeserver.service"


class Manager:
    """Listens as systemd does."""

    def __init__(self, address: str) -> None:
        """`address` as it stands in the environment."""
        self.environment = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(0.0)

    def told(self) -> list[str]:
        """What it was told since it was asked last."""
        heard = []
        while True:
            try:
                heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return heard

    def close(self) -> None:
        """Be gone."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A service manager with a socket of either kind."""
    is_path = request.param == "path"
    made = Manager(str(tmp_path / "notify") if is_path else f"@test-{token_hex(8)}")
    yield made
    made.close()


def test_told(manager: Manager) -> None:
    """What is told arrives, all of one time in one datagram."""
    service_manager = ServiceManager(manager.environment, 1)
    service_manager.tell("READY=1", "STATUS=listening")
    service_manager.tell("STOPPING=1")
    assert manager.told() == ["READY=1\nSTATUS=listening", "STOPPING=1"]


def test_nobody_asked() -> None:
    """Where nobody asked, nobody is told, and nothing is said of it."""
    with capturedLogs() as said:
        manager = ServiceManager({}, 1)
        manager.tell("READY=1")
    assert manager.watchdog_seconds is None
    assert said == []


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody", "vsock:1:2"])
def test_nobody_listens(address: str) -> None:
    """A manager that cannot be told does no harm; that it was not told is said."""
    with capturedLogs() as said:
        ServiceManager({"NOTIFY_SOCKET": address}, 1).tell("READY=1")
    assert len(said) == 1


def test_a_manager_that_does_not_listen(manager: Manager) -> None:
    """Nobody waits for a manager that takes nothing out of its socket."""
    service_manager = ServiceManager(manager.environment, 1)
    for _ in range(2000):
        service_manager.tell("WATCHDOG=1")
    assert 0 < len(manager.told()) < 2000


WATCHDOGS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"WATCHDOG_USEC": "30000000"}, 30.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
    ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
    ({"WATCHDOG_USEC": "0"}, None),
    ({"WATCHDOG_USEC": "soon"}, None),
    ({"WATCHDOG_USEC": "-1"}, None),
]


@pytest.mark.parametrize(("environment", "seconds"), WATCHDOGS)
def test_watchdog_seconds(environment: dict[str, str], seconds: float | None) -> None:
    """The manager says how often it wants to hear, of which process."""
    assert ServiceManager(environment, 7).watchdog_seconds == seconds


def test_watchdog(manager: Manager) -> None:
    """The manager hears twice in its time, for as long as the reactor goes on."""
    clock = Clock()
    environment = {**manager.environment, "WATCHDOG_USEC": "10000000"}
    Watchdog(ServiceManager(environment, 1), clock).start()
    assert manager.told() == ["WATCHDOG=1"]
    clock.advance(4.9)
    assert manager.told() == []
    clock.advance(0.2)
    assert manager.told() == ["WATCHDOG=1"]
    clock.advance(60)  # it stood still; what was missed is not made up for
    assert manager.told() == ["WATCHDOG=1"]
    clock.advance(5)
    assert manager.told() == ["WATCHDOG=1"]


def test_no_watchdog(manager: Manager) -> None:
    """Where the manager does not want to hear, it is told nothing."""
    clock = Clock()
    Watchdog(ServiceManager(manager.environment, 1), clock).start()
    assert clock.getDelayedCalls() == []
    assert manager.told() == []


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)
def test_unit(tmp_path: Path) -> None:
    """Each line of the unit is understood by systemd."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/homeserver/bin/homeserver run\n" in text
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/homeserver/bin/homeserver", str(PROGRAM)))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
