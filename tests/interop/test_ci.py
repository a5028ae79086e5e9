"""What conf/ci runs in containers, here without them: a lab, Synapse and its tests."""

import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import run

from scripts.processes import PROGRAM, first_line, running
from scripts.synapse import PROGRAM as SYNAPSE
from tests.support.network_namespace import NAMESERVER, network

CI = Path(__file__).parent.parent.parent / "conf" / "ci"
CONTROL = "127.0.0.1:8008"

# The record stands for the alias that Docker's name server has.
PREPARE = """
from homeserver.testing import Lab
with Lab() as lab:
    lab.server(dns=[{"name": "synapse.test", "type": "A", "value": "127.0.0.3"}])
"""

# As the health check of its container, for a minute and a half at most.
WAIT = """
import socket, time
deadline = time.monotonic() + 90
while True:
    try:
        socket.create_connection(("127.0.0.3", 8448), 2).close()
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
"""


def test_synapse_passes_the_tests_of_ci(installed: None, tmp_path: Path) -> None:
    """Started by its script, with the lab's authority, it passes them all."""
    folder, log = tmp_path / "synapse", tmp_path / "log"
    folder.mkdir()
    variables = {"HOMESERVER_LAB": f"http://{CONTROL}", "HOMESERVER_LAB_TOKEN": "token"}
    # Synapse has port 8448 of all addresses, which a lab leaves free at this one.
    listen = ["--listen", "127.0.0.1:7000", "--control", CONTROL, "--dns", NAMESERVER]
    path = f"PATH={SYNAPSE.parent}:/usr/bin:/bin"
    start = ["env", f"--chdir={folder}", path, "python", str(CI / "start_synapse.py")]
    tests = ["-m", "pytest", str(CI / "test_synapse.py")]
    with ExitStack() as stack:
        within = stack.enter_context(network(tmp_path))
        enter = [*within, "env", *(f"{key}={each}" for key, each in variables.items())]
        lab = running([*enter, str(PROGRAM), "lab", "--json", *listen], log)
        first_line(stack.enter_context(lab))
        run([*enter, sys.executable, "-c", PREPARE], check=True)
        stack.enter_context(running([*enter, *start], log))
        run([*enter, sys.executable, "-c", WAIT], check=True)
        done = run(
            [*enter, sys.executable, *tests],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{log.read_text()[-4000:]}"
    assert "3 passed" in done.stdout
