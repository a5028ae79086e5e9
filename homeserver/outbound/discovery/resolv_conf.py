"""The name servers of the system, as its `resolv.conf` has them.

Rules: the file is read when the servers are asked for, at most once a minute. There is
no timer, which would keep whatever asks. A file that cannot be read changes nothing.
A word that is no IP address is no name server. Without one in it, and without the
file, the machine is its own name server.

Specification: resolv.conf(5).
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.names import dns

from homeserver.net.addresses import is_ip
from homeserver.outbound.discovery.name_servers import Server

RESOLV_CONF = Path("/etc/resolv.conf")

_MACHINE: Sequence[Server] = [("127.0.0.1", dns.PORT)]

_SECONDS = 60.0  # between two readings


class ResolvConf:
    """A file with name servers."""

    def __init__(self, path: Path, clock: IReactorTime) -> None:
        self._path = path
        self._clock = clock
        self._servers = _MACHINE
        self._next_reading = clock.seconds()

    def servers(self) -> Sequence[Server]:
        """The name servers, in their order; at least one."""
        now = self._clock.seconds()
        if now >= self._next_reading:
            self._next_reading = now + _SECONDS
            with suppress(OSError):
                self._servers = self._read() or _MACHINE
        return self._servers

    def _read(self) -> Sequence[Server]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        lines = [line.split() for line in text.splitlines()]
        return [
            (words[1], dns.PORT)
            for words in lines
            if words[:1] == ["nameserver"] and len(words) > 1 and is_ip(words[1])
        ]
