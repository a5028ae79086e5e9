"""What a run is started with.

Rules: values only.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from homeserver.conformance.preflight import Given
from homeserver.lab.options import DEFAULT_ALLOW, DEFAULT_ZONE
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.identifiers import ServerName

_ALLOWED = tuple(map(AddressRange.parse, DEFAULT_ALLOW))


class ConformOptions(Struct, frozen=True, kw_only=True):
    """The options of `homeserver conform`."""

    target: ServerName
    target_address: SocketAddress | None = None
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    given: Given = Given()
    listen: SocketAddress
    dns: SocketAddress
    zone: str
    data: Path | None = None
    trust: Sequence[Path] = ()
    allow: Sequence[AddressRange] = ()
    jobs: int = 6
    timeout: float | None = None
    setup: str | None = None
    """A command line."""

    is_polite: bool | None = None
    """Whether the target is somebody else's; None for one with a public address."""

    @property
    def of_target(self) -> list[str]:
        """Those that say where the target is, what it has and how it finds us."""
        told = [
            ("--target-address", [self.target_address]),
            ("--room", self.given.rooms),
            ("--user", self.given.users),
            ("--setup", [self.setup]),
            ("--data", [self.data]),
            ("--listen", [self.listen if self.listen.port else None]),
            ("--dns", [self.dns if self.dns.port else None]),
            ("--zone", [self.zone if self.zone != DEFAULT_ZONE else None]),
            ("--allow", [] if self.allow == _ALLOWED else self.allow),
        ]
        return [
            part
            for option, values in told
            for value in values
            if value is not None
            for part in (option, str(value))
        ]
