"""Telling who started the daemon how it is: systemd, where it asks to be told.

Rules: a datagram to the socket that `NOTIFY_SOCKET` names, and none where
nobody asked. Nobody is waited for, and nothing fails because of it.

Specification: sd_notify(3), sd_watchdog_enabled(3).
"""

import socket
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class ServiceManager:
    """Who started this process, and may want to know how it is."""

    _log = Logger()

    def __init__(self, environment: Mapping[str, str], process_id: int) -> None:
        """`environment` says whether it wants to know, and what."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog_seconds(environment, process_id)
        """How often it has to hear that all is well; None if it need not."""

    def tell(self, *assignments: str) -> None:
        """Tell it, for example, `READY=1`."""
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


class Watchdog:
    """Tells the service manager that the reactor goes on, for as long as it does.

    One that stands still tells nothing; then the service manager ends the process and
    starts another. A store that fails is no reason: it is waited for, and until it is
    back a process that answers with 503 is worth more than one that cannot start.
    """

    def __init__(self, manager: ServiceManager, clock: IReactorTime) -> None:
        self._manager = manager
        self._beating = LoopingCall(manager.tell, "WATCHDOG=1")
        self._beating.clock = clock

    def start(self) -> None:
        """Begin, if it has to be told at all."""
        if self._manager.watchdog_seconds is not None:
            # Twice in the time, as the manual recommends.
            self._beating.start(self._manager.watchdog_seconds / 2)


def _watchdog_seconds(environment: Mapping[str, str], process_id: int) -> float | None:
    """What the environment asks of this process, and not of its parent."""
    if environment.get("WATCHDOG_PID", str(process_id)) != str(process_id):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() and int(text) > 0 else None
