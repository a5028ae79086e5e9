"""The process of a lab that a test suite starts.

Rules: it ends with the suite. What it writes to standard error is the suite's.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from homeserver.testing.link import Answer, LabError

_STOP_SECONDS = 10.0


class LabProcess:
    """A lab that runs until it is stopped."""

    def __init__(self, options: Sequence[str]) -> None:
        """Start it with the options of `homeserver lab`; raises `LabError`."""
        command = [sys.executable, "-m", "homeserver", "lab", "--json", *options]
        self._process = subprocess.Popen(  # noqa: S603 - of the caller's own options
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - as asked for
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait(_STOP_SECONDS)
            self._process.stdout.close()
            raise LabError(
                f"`{' '.join(command[1:])}` ended with {status}; standard error has why"
            )
        self.whereabouts: Answer = json.loads(line)
        """Where everything is."""

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
