"""The process of one of several workers: its fork, and what its supervisor knows of it.

Rules: the process is a worker from its first moment on, and returns to nothing of its
supervisor.
"""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from homeserver.app.worker import ORDERS, Worker
from homeserver.config.values import Config, ConfigError


class WorkerProcess:
    """A worker's process, as its supervisor sees it."""

    def __init__(self, process_id: int, link: socket.socket) -> None:
        self.process_id = process_id
        self.link = link
        self.started = time.monotonic()
        self.is_ready = False
        """Whether it has started, and reloaded if it had to."""

        self.has_beaten = False
        """Whether its reactor has run since the last watchdog notification."""


def fork(
    worker: Worker, path: Path, config: Config, ends: Iterable[socket.socket]
) -> int:
    """The ID of a new process, which is a worker; raises `OSError`.

    `path` is that of the configuration; `ends` are the supervisor's ends of all links.
    """
    process_id = os.fork()
    if process_id == 0:
        # A link ends only when the supervisor has closed its end everywhere.
        for end in ends:
            end.close()
        _become(worker, path, config)
    return process_id


def _become(worker: Worker, path: Path, config: Config) -> NoReturn:
    """Be a worker, in a process that was just forked."""
    signal.set_wakeup_fd(-1)
    for number in ORDERS:
        signal.signal(number, signal.SIG_IGN)
    status = 1
    try:
        from homeserver.app import run  # noqa: PLC0415 - it makes a reactor

        run.run(path, worker.adapt(config), worker)
        status = 0
    except ConfigError as problem:
        print(problem, file=sys.stderr)
        status = 2
    except BaseException:  # noqa: BLE001 - reported, and then its process ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
