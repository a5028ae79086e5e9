"""The supervisor of several workers: it starts them, and starts again those that end.

| what happens | what follows |
|---|---|
| worker 1 is ready | the others are started |
| all are ready | it prints the addresses, and notifies the service manager |
| SIGHUP | all reload |
| SIGTERM or SIGINT | all finish, then the supervisor ends |
| a second one | all end at once |
| a worker ends before all were ready | all finish, and its status is returned |
| a worker ends later | it is started again, after a pause that grows if it recurs |
| the supervisor is killed | the workers finish |

Rules: there is no reactor here, so that a worker can be forked at any time.
"""

import gc
import json
import os
import secrets
import selectors
import signal
import socket
import time
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path

from twisted.logger import Logger

from homeserver.app.announcement import announce
from homeserver.app.signals import keep_status
from homeserver.app.systemd import ServiceManager
from homeserver.app.worker import (
    CONTROL,
    ORDERS,
    Bell,
    Link,
    ProcessLocks,
    Worker,
    with_ports,
)
from homeserver.app.worker_process import WorkerProcess, fork
from homeserver.config.values import Config, ConfigError
from homeserver.net.addresses import SocketAddress
from homeserver.net.back_off import BackOff

_STABLE_SECONDS = 60.0  # after it, the pause before a restart is the first one again

_MAX_MESSAGE = 65536  # a few lines


def run(path: Path, config: Config, workers: int) -> int:
    """Run so many workers of an endpoint; returns the exit status.

    `path` is that of the configuration. Raises `ConfigError`.
    """
    if not hasattr(os, "eventfd"):
        raise ConfigError(path, ["run.workers: several workers need Linux"])
    # Loaded once for all; the collector would write to the memory that they share.
    import_module("homeserver.app.endpoint")
    gc.freeze()
    manager = ServiceManager(os.environ, os.getpid())
    return Supervisor(path, config, workers, manager).run()


class Supervisor:
    """The workers of one endpoint."""

    _log = Logger()

    def __init__(
        self, path: Path, config: Config, workers: int, manager: ServiceManager
    ) -> None:
        """`path` is that of the configuration."""
        self._path = path
        self._config = config
        self._manager = manager
        self._count = workers
        self._children: dict[int, WorkerProcess] = {}
        self._due: dict[int, float] = {}
        """When ended workers are started again."""

        self._pauses: BackOff[int] = BackOff(0.1, 10.0)
        self._ports: dict[str, int] = {}
        self._is_up = self._is_ending = False
        self._status = 0
        self._selector = selectors.DefaultSelector()
        self._locks, self._bell = ProcessLocks(), Bell()
        self._name = secrets.token_hex(16)
        # Not in the file system, so that none is left behind by a kill.
        self._control_names = tuple(
            f"\0homeserver-{self._name}-{number}" for number in self._numbers
        )
        self._controls = [_listen(name) for name in self._control_names]

    @property
    def _numbers(self) -> range:
        return range(1, self._count + 1)

    def run(self) -> int:
        """Run until a signal says so; returns the exit status."""
        with ExitStack() as stack:
            signals, woken = map(stack.enter_context, socket.socketpair())
            for each in self._controls:
                stack.enter_context(each)
            woken.settimeout(0.0)
            signal.set_wakeup_fd(woken.fileno())
            stack.callback(signal.set_wakeup_fd, -1)
            for order in ORDERS:
                signal.signal(order, lambda *_: None)
            keep_status()
            self._selector.register(signals, selectors.EVENT_READ)
            self._start(1)
            self._supervise(signals)
        return self._status

    def _supervise(self, signals: socket.socket) -> None:
        """Do what is to be done until no worker is left."""
        while self._children or self._due:
            for key, _ in self._selector.select(self._wait()):
                if key.data is None:
                    self._obey(signals.recv(1)[0])
                else:
                    self._hear(key.data)
            now = time.monotonic()
            for number in [n for n, when in self._due.items() if now >= when]:
                del self._due[number]
                self._start(number)

    def _wait(self) -> float | None:
        """The seconds until a worker is started again."""
        first = min(self._due.values(), default=None)
        return None if first is None else max(0.0, first - time.monotonic())

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):  # neither waits for one that stands still
            end.settimeout(0.0)
        worker = Worker(
            number,
            self._count,
            f"{self._name}-{number}",
            number != 1 or self._is_up,
            dict(self._ports),
            Link(theirs, self._manager.watchdog_seconds),
            self._bell,
            self._locks,
            self._controls[number - 1],
            self._control_names,
        )
        links = [ours, *(each.link for each in self._children.values())]
        try:
            process_id = fork(worker, self._path, self._config, links)
        except OSError as problem:
            ours.close()
            theirs.close()
            self._start_later(number, f"cannot be started: {problem.strerror}")
            return
        theirs.close()
        self._children[number] = WorkerProcess(process_id, ours)
        self._selector.register(ours, selectors.EVENT_READ, number)

    def _hear(self, number: int) -> None:
        """Take a message of a worker, or its end."""
        child = self._children[number]
        said = ""
        with suppress(ConnectionError):  # it ended before it took its orders
            said = child.link.recv(_MAX_MESSAGE).decode()
        if not said:
            self._bury(number)
        elif said.startswith("READY=1"):
            child.is_ready = True
            ports = said.partition("\nX_PORTS=")[2]
            self._ports |= json.loads(ports) if ports else {}
            self._go_on()
        elif said == "WATCHDOG=1":
            child.has_beaten = True
            if all(each.has_beaten for each in self._children.values()):
                self._manager.tell("WATCHDOG=1")
                for each in self._children.values():
                    each.has_beaten = False

    def _go_on(self) -> None:
        """Start the other workers after the first, and tell when all are ready."""
        for number in self._numbers:
            if number not in self._children and not self._is_up:
                self._start(number)
        if not all(each.is_ready for each in self._children.values()):
            return
        if self._is_up:
            self._manager.tell("READY=1")  # after a reload
            return
        self._is_up = True
        config = with_ports(self._config, self._ports)
        listening = {each.server_name: each.listen for each in config.servers}
        control = config.control.listen
        if control is not None:
            is_open = control.port == 0
            chosen = SocketAddress(control.host, self._ports.get(CONTROL, 0))
            control = chosen if is_open else None
        announce(listening, control, self._manager)

    def _bury(self, number: int) -> None:
        """Take note of the end of a worker."""
        child = self._children.pop(number)
        self._selector.unregister(child.link)
        child.link.close()
        _, ended = os.waitpid(child.process_id, 0)
        status = os.waitstatus_to_exitcode(ended)
        if self._is_ending or not self._is_up:
            # As a shell reports a signal.
            self._status = self._status or (status if status >= 0 else 128 - status)
            if not self._is_ending:
                self._finish()
            return
        if time.monotonic() - child.started >= _STABLE_SECONDS:
            self._pauses.succeed(number)
        how = (
            f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        )
        self._start_later(number, f"(process {child.process_id}) {how}")

    def _start_later(self, number: int, why: str) -> None:
        """Start a worker after a pause, which is longer each time."""
        pause = self._pauses.fail(number)
        self._due[number] = time.monotonic() + pause
        self._log.error(
            "worker {number} {why}; it is started again in {pause} s",
            number=number,
            why=why,
            pause=pause,
        )

    def _obey(self, number: int) -> None:
        """Obey a signal."""
        if number == signal.SIGHUP:
            now = f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
            self._manager.tell("RELOADING=1", now)
            for child in self._children.values():
                child.is_ready = False
            self._order(b"reload")
        elif self._is_ending:
            for child in self._children.values():
                os.kill(child.process_id, signal.SIGKILL)
            os._exit(128 + number)  # as a shell reports it
        else:
            self._manager.tell("STOPPING=1")
            self._finish()

    def _finish(self) -> None:
        self._is_ending = True
        self._due.clear()
        self._order(b"finish")

    def _order(self, order: bytes) -> None:
        for child in self._children.values():
            with suppress(OSError):  # it has ended
                child.link.send(order)


def _listen(name: str) -> socket.socket:
    """A UNIX socket that accepts connections, from now on and over restarts."""
    own = socket.socket(socket.AF_UNIX)
    own.bind(name)
    own.listen()
    own.settimeout(0.0)
    return own
