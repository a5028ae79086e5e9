"""What a run is started with.

Rules: values only.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from homeserver.conformance.preflight import Given
from homeserver.net.addresses import AddressRange, SocketAddress
from homeserver.protocol.identifiers import ServerName


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
