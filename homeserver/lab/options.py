"""What a lab is started with.

Rules: values only. A lab has no configuration file.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from homeserver.config.values import (
    Config,
    Control,
    Limits,
    Log,
    Network,
    Verification,
)
from homeserver.net.addresses import AddressRange, SocketAddress

DEFAULT_ZONE = "lab.test"

# Loopback, and the ranges of RFC 1918, RFC 6598 and RFC 4193: test networks are there.
DEFAULT_ALLOW = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
)

LOOPBACK = tuple(map(AddressRange.parse, ("127.0.0.0/8", "::1/128")))


class LabOptions(Struct, frozen=True, kw_only=True):
    """The options of `homeserver lab`."""

    listen: SocketAddress
    control: SocketAddress
    dns: SocketAddress
    zone: str = DEFAULT_ZONE
    allow: Sequence[AddressRange] = ()
    trust: Sequence[Path] = ()
    """Files with authorities in PEM, trusted beside the system's and the lab's own."""

    seed: str | None = None
    """None for one of its own."""

    record: Path | None = None
    data: Path | None = None
    token: str | None = None
    """Of the control API; None for one of its own."""

    control_hosts: Sequence[str] = ()

    def config(self, trusted: Path) -> Config:
        """The configuration of the process; `trusted` is a file of authorities."""
        return Config(
            servers=(),
            shutdown_seconds=2.0,
            verification=Verification(ca_file=trusted),
            network=Network(allow=tuple(self.allow)),
            limits=Limits(trusted_clients=LOOPBACK),
            control=Control(listen=None, hosts=tuple(self.control_hosts)),
            log=Log(level="warn"),
        )


class Whereabouts(Struct, frozen=True):
    """Where everything is, as it is printed."""

    control: str
    """A URL."""

    token: str
    listen: str
    """HOST:PORT."""

    dns: str
    """HOST:PORT."""

    zone: str
    ca_file: str
    ca_pem: str
    version: str
