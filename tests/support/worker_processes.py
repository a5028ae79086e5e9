"""The processes of a daemon with workers."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.support.eventually import HANGING_SECONDS

WORKERS = 3

CONFIGURATION = f"""
[run]
workers = {WORKERS}

[sending]
first_retry_seconds = 1000
max_retry_seconds = 1000
"""


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The process IDs of the workers of a supervisor; none where it is alone."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(each) for each in path.read_text().split()]


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a daemon with its workers, and wait until none is left."""
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + HANGING_SECONDS
    while any(map(_is_running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _is_running(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(") ")[2][0] not in "ZX"
