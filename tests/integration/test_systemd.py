"""What the daemon tells the service manager that started it."""

import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from scripts.processes import first_line, make_endpoint
from tests.support.eventually import HANGING_SECONDS


@pytest.mark.parametrize("workers", [1, 2])
def test_the_manager_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """The manager hears of the start, each reload, the end, and that all is well."""
    configuration = f"\n[run]\nworkers = {workers}\n"
    endpoint = make_endpoint(tmp_path / "alpha", "alpha.test", configuration)
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(address))
        manager.settimeout(HANGING_SECONDS)

        def next_told() -> str:
            while (told := manager.recv(4096).decode()) == "WATCHDOG=1":
                pass
            return told

        with endpoint.running() as process:
            listening = first_line(process)
            assert next_told() == f"READY=1\nSTATUS={listening}"
            for _ in range(3):
                assert manager.recv(4096) == b"WATCHDOG=1"
            before = time.monotonic_ns() // 1000
            process.send_signal(signal.SIGHUP)
            reloading, _, when = next_told().partition("\nMONOTONIC_USEC=")
            assert reloading == "RELOADING=1"
            assert before <= int(when) <= time.monotonic_ns() // 1000
            assert next_told() == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert next_told() == "STOPPING=1"
            assert process.wait(HANGING_SECONDS) == 0
