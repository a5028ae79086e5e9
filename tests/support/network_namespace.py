"""A network of the test's own, in which every port and every name is free.

Rules: nothing is left behind, however a test ends. A namespace without a
name lives as long as a process in it, and the file that names its name server is
mounted for its processes alone.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scripts.processes import ProcessError, first_line, running

NAMESERVER = "127.0.0.1:53"
"""Where its processes ask for names."""

_TOP = Path(__file__).parent.parent.parent

# Who is not root becomes it in a namespace of users, where the kernel allows that.
_IS_ROOT = os.geteuid() == 0
_MAKING = ["--net", "--mount", *([] if _IS_ROOT else ["--user", "--map-root-user"])]
_ENTERING = [
    *["--net", "--mount", f"--wd={_TOP}"],
    *([] if _IS_ROOT else ["--user", "--preserve-credentials"]),
]


@contextmanager
def network(folder: Path) -> Iterator[tuple[str, ...]]:
    """A network with nothing but a loopback interface; the command to enter it by.

    Skips the test where this machine allows none, and fails where CI is root on it.
    """
    resolv = folder / "resolv.conf"
    resolv.write_text(f"nameserver {NAMESERVER.partition(':')[0]}\n")
    setup = 'ip link set lo up; mount --bind "$0" /etc/resolv.conf; echo made; exec cat'
    command = ["unshare", *_MAKING, "--", "sh", "-ec", setup, str(resolv)]
    log = folder / "network.log"
    with ExitStack() as stack:
        try:
            process = stack.enter_context(running(command, log))
            first_line(process)
        except (ProcessError, FileNotFoundError) as problem:
            said = log.read_text().strip() or problem
            why = f"no network of our own can be made here: {said}"
            assert not (_IS_ROOT and "CI" in os.environ), why
            pytest.skip(why)
        yield ("nsenter", f"--target={process.pid}", *_ENTERING, "--")
