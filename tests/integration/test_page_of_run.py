"""The page of `homeserver run` in a real browser: what it received and refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import free_ports
from tests.support.chromium import PROGRAM, Browser
from tests.support.trusting_client import fetch

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="chromium is not installed (Debian: apt install chromium)"
)

HOMESERVER = [sys.executable, "-m", "homeserver"]


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A daemon in a folder of its own; where it listens, and its control API."""
    port, control = free_ports(2)
    where = ["--listen", f"127.0.0.1:{port}", "--control", f"127.0.0.1:{control}"]
    name = ["--server-name", f"localhost:{port}"]
    subprocess.run(
        [*HOMESERVER, "init", *name, *where, tmp_path / "peer"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    command = [*HOMESERVER, "run", "-c", str(tmp_path / "peer" / "homeserver.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening: ")
        yield port, control
        process.terminate()
        process.wait(30)


def test_it_shows_what_was_refused(ports: tuple[int, int], tmp_path: Path) -> None:
    """It asks for the token, and shows a refusal with its hint, without rules."""
    port, control = ports
    header = 'X-Matrix origin="localhost:1",key="ed25519:a",sig="AAAA"'
    target = "/_matrix/federation/v1/send/1"
    headers = {"Authorization": header}
    got = fetch(port, target, method="PUT", body=b"{}", headers=headers)
    assert got.status == 400
    token = (tmp_path / "peer" / "control.token").read_text().strip()
    with Browser() as browser:
        tab = browser.open(f"http://127.0.0.1:{control}")
        tab.wait_for_text(".gate", "control.token")
        tab.write(token)
        tab.press("Enter")
        tab.click(".row .state", "400")
        tab.wait_for_text(".detail .hint", "64 bytes have 86")
        assert "HAR" not in tab.text(".bar")
        tab.click("nav a", "Servers")
        tab.wait_for_text(".panel h2", f"localhost:{port}")
        assert "Rules" not in tab.text(".panel")
        tab.click("nav a", "Reports")
        tab.wait_for_text(".list", "localhost")
        assert tab.complaints == []
