"""The signals that end the daemon."""

import subprocess
import sys

import pytest

_PROGRAM = """
import os, signal
from homeserver.app.signals import keep_status

class Last:
    def __del__(self, kill=os.kill, number=int({number}), own=os.getpid()):
        kill(own, number)  # the interpreter has given its handlers up by now

for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, lambda *_: None)
keep_status()
last = Last()
raise SystemExit(3)
"""


@pytest.mark.parametrize("number", ["signal.SIGTERM", "signal.SIGINT", "signal.SIGHUP"])
def test_status_is_kept(number: str) -> None:
    """A signal to a program that is ending by itself does not change its status."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(number=number)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (3, "")
