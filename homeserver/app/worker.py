"""One of several workers: what a process shares with others on the same machine.

The supervisor makes all of it before it forks: a link to itself, a lock file, a bell,
and for the control API of each worker a UNIX socket. Worker 1 serves the control API,
and asks the others through theirs.

Rules: what others hold is released by the kernel when their process ends, however it
ends. A worker obeys its link alone, so that it is ended once by a signal that reaches
all processes of a terminal or of a service.
"""

import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReadDescriptor,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.config.values import Config
from homeserver.http.unix_listener import AsLocal
from homeserver.net.addresses import SocketAddress

ORDERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that the supervisor obeys for all."""


CONTROL = "control"
"""The control API, among the addresses of ports."""


class Worker(Struct, frozen=True):
    """A process among several, and what it shares with them."""

    number: int
    """From 1 on."""

    count: int
    holder: str
    """Its name in leases, the same after a restart."""

    joins: bool
    """Whether other workers may run already."""

    ports: Mapping[str, int]
    """As in `adapt`."""

    link: "Link"
    bell: "Bell"
    locks: "ProcessLocks"
    control: socket.socket
    """Listens for worker 1, at `control_names`."""

    control_names: tuple[str, ...]
    """The UNIX sockets of all workers, in their order."""

    @property
    def is_first(self) -> bool:
        """Whether it does what is done once: the control API, and pruning."""
        return self.number == 1

    @property
    def other_sockets(self) -> dict[int, str]:
        """Where the control APIs of the other workers are."""
        names = dict(enumerate(self.control_names, 1))
        return {n: name for n, name in names.items() if n != self.number}

    def adapt(self, config: Config) -> Config:
        """The configuration for this worker."""
        return with_ports(config, self.ports)

    def listen(
        self, reactor: PosixReactorBase, where: SocketAddress, factory: IProtocolFactory
    ) -> IListeningPort:
        """Accept connections beside the other workers; raises `OSError`."""
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            where.host, where.port, type=socket.SOCK_STREAM
        )
        with socket.socket(family) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.joins:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.bind(address)
            # Set late, it lets the others in, and does not let this one in where
            # another program shares its port in the same way.
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.listen()
            own.settimeout(0.0)
            port: IListeningPort = reactor.adoptStreamPort(
                own.fileno(), family, factory
            )
        return port

    def listen_to_first(
        self, reactor: PosixReactorBase, factory: IProtocolFactory
    ) -> IListeningPort:
        """Serve the control API to worker 1."""
        port: IListeningPort = reactor.adoptStreamPort(
            self.control.fileno(),
            socket.AF_UNIX,
            AsLocal(factory),  # type: ignore[no-untyped-call]
        )
        return port


def with_ports(config: Config, ports: Mapping[str, int]) -> Config:
    """The configuration with ports in place of those that it leaves open.

    `ports` has them by the address as it is configured.
    """

    def place(where: SocketAddress) -> SocketAddress:
        return SocketAddress(where.host, ports.get(str(where), where.port))

    servers = (replace(each, listen=place(each.listen)) for each in config.servers)
    return replace(config, servers=tuple(servers))


class Link:
    """What the supervisor and one worker tell each other, as with systemd.

    The worker sends assignments as in sd_notify(3), and the supervisor sends `reload`
    and `finish`. Its end is an order to finish.
    """

    def __init__(self, end: socket.socket, watchdog_seconds: float | None) -> None:
        self._end = end
        self.watchdog_seconds = watchdog_seconds
        """As that of `ServiceManager`."""

    def tell(self, *assignments: str) -> None:
        """Send it to the supervisor, if there still is one."""
        with suppress(OSError):
            self._end.send("\n".join(assignments).encode())

    def tell_ready(self, ports: Mapping[str, int]) -> None:
        """Tell that the worker is ready, and the ports that it has chosen."""
        self.tell("READY=1", f"X_PORTS={json.dumps(ports)}")

    def obey(
        self,
        reactor: PosixReactorBase,
        finish: Callable[[], None],
        reload: Callable[[], None],
    ) -> None:
        """As `signals.obey`, for what the supervisor says."""
        for number in ORDERS:
            signal.signal(number, signal.SIG_IGN)

        def take() -> None:
            order = self._end.recv(100)
            if order == b"reload":
                reload()
                return
            reactor.removeReader(reader)
            finish()

        reader = _Reader(self._end.fileno(), take)
        reactor.addReader(reader)


class Bell:
    """Tells worker 1 that another one has committed something that it may wait for."""

    def __init__(self) -> None:
        self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Tell it; many calls may become one."""
        os.eventfd_write(self._file, 1)

    def listen(self, reactor: PosixReactorBase, heard: Callable[[], None]) -> None:
        """Call `heard` after it was rung."""

        def take() -> None:
            os.eventfd_read(self._file)
            heard()

        reactor.addReader(_Reader(self._file, take))


class ProcessLocks:
    """Locks that one process at a time has: a byte of a file in memory for each.

    A lease in the store would cost each transaction a commit; this takes two calls of
    the system.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("homeserver-locks")

    def take(self, key: str) -> bool:
        """Take a lock; whether no other process has it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._place(key))
        except (
            BlockingIOError,
            PermissionError,
        ):  # which of them depends on the system
            return False
        return True

    def release(self, key: str) -> None:
        """Release a lock that this process has."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place(key))

    def _place(self, key: str) -> int:
        # Of 2^56 places, so that two keys do not share one.
        return int.from_bytes(sha256(key.encode()).digest()[:7], "big")


@implementer(IReadDescriptor)
class _Reader:
    """Calls `take` when a file can be read."""

    def __init__(self, file: int, take: Callable[[], None]) -> None:
        self._file = file
        self._take = take

    def fileno(self) -> int:
        return self._file

    def doRead(self) -> None:
        self._take()

    def connectionLost(self, reason: Failure) -> None:
        """Called by Twisted at its end."""

    def logPrefix(self) -> str:
        return "worker"
