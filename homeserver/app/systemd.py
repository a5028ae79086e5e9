"""Notifications to systemd, if it asks for them.

Rules: a notification is a datagram to the socket in `NOTIFY_SOCKET`; without the
variable none is sent. Sending never waits and never fails.

Specification: sd_notify(3), sd_watchdog_enabled(3).
"""

import socket
from collections.abc import Mapping
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class ServiceManager:
    """The service manager that started this process, if one did."""

    _log = Logger()

    def __init__(self, environment: Mapping[str, str], process_id: int) -> None:
        """`environment` has the socket and the watchdog's interval."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog_seconds(environment, process_id)
        """The longest pause between notifications; None without a watchdog."""

    def tell(self, *assignments: str) -> None:
        """Send it, for example, `READY=1`."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]  # a name that is not in the file system
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0.0)
            try:
                sender.sendto("\n".join(assignments).encode(), address)
            except OSError as problem:
                self._log.warn(
                    "the service manager at {address} was not told {what}: {problem}",
                    address=self._address,
                    what=assignments[0],
                    problem=problem.strerror,
                )


class Notified(Protocol):
    """What is told that a process runs."""

    watchdog_seconds: float | None

    def tell(self, *assignments: str) -> None:
        """As `ServiceManager.tell`."""
        ...


class Watchdog:
    """Notifies the service manager for as long as the reactor runs.

    Without notifications the service manager ends the process and starts another one. A
    failing store is no reason for that: until it works again, a process that answers
    503 is better than one that cannot start.
    """

    def __init__(self, manager: Notified, clock: IReactorTime) -> None:
        self._manager = manager
        self._beating = LoopingCall(manager.tell, "WATCHDOG=1")
        self._beating.clock = clock

    def start(self) -> None:
        """Begin, if there is a watchdog."""
        if self._manager.watchdog_seconds is not None:
            # Twice in the interval, as the manual recommends.
            self._beating.start(self._manager.watchdog_seconds / 2)


def _watchdog_seconds(environment: Mapping[str, str], process_id: int) -> float | None:
    """The interval that the environment demands of this process, not of its parent."""
    if environment.get("WATCHDOG_PID", str(process_id)) != str(process_id):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() and int(text) > 0 else None
