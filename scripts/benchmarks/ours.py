"""Our server, and others of ours that it is compared with.

Rules: all have the certificate and the keys of the first, and each its own store.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from scripts.benchmarks.load import Server
from scripts.benchmarks.setting import CONFIGURATION, NAME, Setting
from scripts.processes import PROGRAM as OWN_PROGRAM
from scripts.processes import Endpoint, first_line, make_endpoint, running

IN_ROOM = "in a room"
"""Ours, asked about a room that it is in."""

BEFORE = "before"
"""Ours of another tree, such as that of an earlier commit."""

UNBOUNDED = "unbounded"
"""Ours without its bounds on strangers."""

SAME = "the same"
"""Ours once more, without any difference: what it differs by is noise."""

LARGE = "large store"
"""Ours with a store that has received much."""

WORKERS = "two workers"
"""Ours as two processes."""


@contextmanager
def running_ours(endpoint: Endpoint) -> Iterator[Server]:
    """Our server, once it listens."""
    with endpoint.running() as process:
        first_line(process)
        yield Server.listening(process.pid, endpoint.port)


def running_before(setting: Setting, tree: Path) -> AbstractContextManager[Server]:
    """Ours of another tree."""
    return _ours_again(setting, BEFORE, ("env", f"PYTHONPATH={tree}"))


def large_store(setting: Setting) -> Path:
    """The store of `LARGE`, which is as small as any until it is filled."""
    return setting.endpoint.folder.with_name(LARGE) / "homeserver.db"


@contextmanager
def _ours_again(
    setting: Setting,
    name: str,
    within: Sequence[str],
    program: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """One more of ours, of the same name and certificate, with a store of its own."""
    made = make_endpoint(setting.endpoint.folder.with_name(name), NAME, CONFIGURATION)
    for each in ("tls.crt", "tls.key", "signing.key"):
        shutil.copy(setting.endpoint.folder / each, made.folder)
    command = [*within, *(program or [str(OWN_PROGRAM)]), "run", "-c"]
    with running([*command, str(made.configuration), *options], made.log) as process:
        first_line(process)
        yield Server.listening(process.pid, made.port)


def _two_workers(setting: Setting) -> AbstractContextManager[Server]:
    return _ours_again(setting, WORKERS, (), options=("--workers", "2"))


def _unbounded(setting: Setting) -> AbstractContextManager[Server]:
    program = (sys.executable, "-m", "scripts.benchmarks.unbounded")
    return _ours_again(setting, UNBOUNDED, (), program)


def _same(setting: Setting) -> AbstractContextManager[Server]:
    # Started as `UNBOUNDED` is, which it is compared with.
    return _ours_again(setting, SAME, (), (sys.executable, "-m", "homeserver"))


def _large(setting: Setting) -> AbstractContextManager[Server]:
    return _ours_again(setting, LARGE, ())


ONCE_MORE = {
    UNBOUNDED: _unbounded,
    LARGE: _large,
    WORKERS: _two_workers,
    SAME: _same,
}
"""{name: how it is run}, of this tree."""
