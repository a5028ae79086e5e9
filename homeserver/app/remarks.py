"""Remarks for the operator: in the log at a start, and in `/health`.

Rules: `/health` needs no token, so what it shows is computed at most once a minute, and
the number of shown remarks is bounded. A certificate may expire while the process runs.
"""

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.app.server import Server
from homeserver.identity.remarks import find_remarks
from homeserver.net.wall_clock import wall_seconds

RULES_ARE_ON = "lab.rules is on: the control API may make this endpoint answer wrongly"

_SECONDS = 60.0  # certificates expire at a time of day
_MAX_SHOWN = 20  # more would not be read; the others follow once these are resolved


class Remarks:
    """The remarks on the configured servers, and on the configuration."""

    def __init__(
        self,
        servers: Callable[[], Sequence[Server]],
        clock: IReactorTime,
        lasting: Sequence[str] = (),
    ) -> None:
        """`servers` returns those that the configuration has.

        `lasting` are remarks that hold as long as the process runs.
        """
        self._lasting = lasting
        self._servers = servers
        self._clock = clock
        self._changes: str | None = None
        self._found: list[str] = []
        self._until = 0.0

    def note_changes(self, keys: Sequence[str]) -> str | None:
        """Note the settings that changed in the file; returns remarks on them."""
        self._changes = None
        if keys:
            named = ", ".join(keys)
            self._changes = f"a restart is needed to take up what changed: {named}"
        return self._changes

    def renew(self) -> list[str]:
        """Every remark, computed now."""
        changes = [] if self._changes is None else [self._changes]
        self._found = [*self._lasting, *changes, *self._on_servers()]
        self._until = self._clock.seconds() + _SECONDS
        return self._found

    def shown(self) -> tuple[str, ...]:
        """Those for `/health`."""
        if self._clock.seconds() >= self._until:
            self.renew()
        return tuple(self._found[:_MAX_SHOWN])

    def _on_servers(self) -> Iterator[str]:
        servers = self._servers()
        now = wall_seconds(self._clock)
        for server in servers:
            label = f"{server.name}: " if len(servers) > 1 else ""
            identity = server.credentials.identity()
            for each in find_remarks(identity, server.delegate_to, now):
                yield label + each
