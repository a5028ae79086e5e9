"""Addresses of this machine, and what answers at them.

Rules: an address that a run has given is given to nothing else, because servers
remember keys by names, and addresses can be names. Only loopback addresses are given: a
target on another machine would reach itself by them.
"""

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from selectors import EVENT_WRITE, DefaultSelector

from homeserver.app.listeners import CannotListen, Listeners
from homeserver.conformance.outcome import NotTestable
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import DEFAULT_PORT

_ATTEMPTS = 20  # at an address whose port nothing else has

_MAX_WAITING = 8  # connections that fill the queue of a listener; Linux needs one
_CONNECT_SECONDS = 0.05  # of loopback, where a handshake takes microseconds


class Addresses:
    """The addresses of one run, beside that of the lab's own listeners."""

    def __init__(self, shared: str, listeners: Listeners) -> None:
        """`shared` is the address by which servers of ours are reached."""
        self._shared = shared
        self._listeners = listeners
        self._given = {shared}
        self._ipv6: SocketAddress | None = None

    def fresh(self) -> str:
        """An IPv4 address with a free port 8448; raises `NotTestable`.

        Only Linux has all of 127.0.0.0/8 without being told.
        """
        shared = ip_address(self._shared)
        if shared.version != 4 or not shared.is_loopback:
            raise NotTestable(
                f"{shared} is the only address of ours: a target on this machine can "
                "use others, by --listen 127.0.0.1:8448"
            )
        problem: str | None = None
        for _ in range(_ATTEMPTS):
            numbers = [secrets.randbelow(253) + 2 for _ in range(3)]
            host = ".".join(map(str, (127, *numbers)))
            if host in self._given:
                continue
            self._given.add(host)
            try:
                with socket.create_server((host, DEFAULT_PORT)):
                    return host
            except OSError as why:
                problem = why.strerror
        raise NotTestable(f"no address of 127.0.0.0/8 has a free port 8448: {problem}")

    def by_ipv6(self) -> SocketAddress:
        """A listener at `::1`, which all servers share; raises `NotTestable`."""
        if self._ipv6 is None:
            try:
                self._ipv6 = self._listeners.keep(SocketAddress("::1", 0))
            except CannotListen as problem:
                raise NotTestable(str(problem)) from None
        return self._ipv6

    def by_ipv4_alone(self) -> SocketAddress:
        """A listener at the shared address whose port refuses connections to `::1`.

        Raises `NotTestable`.
        """
        if ip_address(self._shared).version != 4:
            raise NotTestable(f"{self._shared} is the only address of ours")
        for _ in range(_ATTEMPTS):
            try:
                where = self._listeners.keep(SocketAddress(self._shared, 0))
            except CannotListen as problem:
                raise NotTestable(str(problem)) from None
            with (
                suppress(OSError),
                socket.create_server(("::1", where.port), family=socket.AF_INET6),
            ):
                return where
        raise NotTestable("each port of ::1 is in use")


@contextmanager
def silent(where: SocketAddress) -> Iterator[None]:
    """Let an address and a port answer nothing, not even a connection.

    The queue of its listener is full. Raises `NotTestable` where the system refuses
    connections then, or takes them.
    """
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(
                socket.create_server((where.host, where.port), backlog=0)
            )
        except OSError as problem:
            raise NotTestable(f"{where}: {problem.strerror}") from None
        for _ in range(_MAX_WAITING):
            waiting = stack.enter_context(socket.socket(listener.family))
            waiting.setblocking(False)  # noqa: FBT003
            waiting.connect_ex((where.host, where.port))
            if not _is_answered(waiting):
                break
        else:
            raise NotTestable(f"{where}: a full queue of this system goes on to answer")
        yield


def _is_answered(waiting: socket.socket) -> bool:
    """Whether a connection that has begun is taken, or refused."""
    # A run may have more descriptors than `select` takes.
    with DefaultSelector() as selector:
        selector.register(waiting, EVENT_WRITE)
        return bool(selector.select(_CONNECT_SECONDS))
