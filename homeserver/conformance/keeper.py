"""Runs a command for as long as the process that wants it: `python -m` this module.

Rules: the command and all that it starts end when that process does, also where it was
killed. It is known by a pipe, descriptor 3, whose other end that process alone has. The
command has standard input and output of this process, and its exit status is passed on.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

LIFELINE = 3
"""The descriptor that ends with the process that wants the command."""

_NOT_FOUND = 127  # as a shell reports it


def main() -> int:
    """Run the command of the arguments; returns its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Sent to a whole terminal: the process that wants the command decides.
        signal.signal(number, lambda *_: None)
    try:
        words = sys.argv[1:]
        child = subprocess.Popen(words, start_new_session=True)  # noqa: S603 - as told
    except OSError as problem:
        sys.stderr.write(f"{sys.argv[1]}: {problem.strerror}\n")
        return _NOT_FOUND
    threading.Thread(target=_watch, args=(child.pid,), daemon=True).start()
    return child.wait()


def _watch(group: int) -> None:
    """End the command's process group when the pipe ends."""
    while os.read(LIFELINE, 1):
        pass
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
