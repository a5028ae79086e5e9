"""Names and ports for servers of the lab whose description has none.

Rules: a name below the zone is never given to two servers by one lab; that of a server
that could not be made is given again. A free port is one that the system has just
given: another program may take it first, and then the next one is tried.
"""

import socket
from collections.abc import Collection
from heapq import heappop, heappush
from ipaddress import ip_address

from msgspec import UNSET, UnsetType

from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import DEFAULT_PORT, ServerName

_HTTPS_PORT = 443  # where clients look for well-known documents

# Where what is tested mostly listens, at the default port.
_COMMON = frozenset({"127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared


class Names:
    """Names below the zone of a lab: `s1`, `s2` and so on."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._last = 0
        self._unused: list[int] = []
        """The numbers of names that came back, as a heap."""

    def next(self, taken: Collection[ServerName]) -> ServerName:
        """The next name that no server has."""
        while True:
            if self._unused:
                number = heappop(self._unused)
            else:
                number = self._last = self._last + 1
            name = ServerName.parse(f"s{number}.{self._zone}")
            if name not in taken:
                return name

    def give_back(self, name: ServerName) -> None:
        """Take back a name that was given, and whose server could not be made."""
        heappush(self._unused, int(name.host.partition(".")[0].removeprefix("s")))


def note_on(name: ServerName, zone: str, listen: SocketAddress) -> str | UnsetType:
    """Who finds a server that listens there by its name, where that is not everyone."""
    host = name.host
    if name.port not in {None, listen.port, *usual_ports(listen)}:
        return (
            f"others connect to port {name.port}, and it listens at {listen}: "
            "unreachable unless something forwards that port; with "
            '`"listen": "own"` it listens there'
        )
    if name.is_ip or host == "localhost" or host.endswith(f".{zone}"):
        return UNSET
    return (
        f"{host} is not below {zone}: only a server that asks the name server of this "
        "lab for it finds it; for all others it is unreachable"
    )


def free_port(host: str) -> int:
    """A port of an IP address that nothing listens to; raises `OSError`."""
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def usual_ports(listen: SocketAddress) -> dict[int, str]:
    """The ports where clients look without a record; for each, what lacks without it.

    The default port is left to others at addresses that a lab does not have for itself.
    """
    ports = {_HTTPS_PORT: "no well-known documents"}
    if listen.host not in _COMMON:
        ports[DEFAULT_PORT] = "no remarks on fallback"
    ports.pop(listen.port, None)
    return ports


def reachable_address(listen: SocketAddress) -> str:
    """The IP address by which others reach a listener.

    For a wildcard it is that of this machine's own name, as in a container.
    """
    if not ip_address(listen.host).is_unspecified:
        return listen.host
    version = ip_address(listen.host).version
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, family)
    except OSError:
        found = []
    addresses = [str(each[4][0]) for each in found]
    loopback = "::1" if version == 6 else "127.0.0.1"
    return next((a for a in addresses if not ip_address(a).is_loopback), loopback)
