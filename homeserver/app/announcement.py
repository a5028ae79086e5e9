"""The lines that say that an endpoint accepts connections.

Rules: they are complete when the first of them is printed.
"""

from collections.abc import Mapping

from homeserver.app.systemd import ServiceManager
from homeserver.net.addresses import SocketAddress
from homeserver.protocol.identifiers import ServerName


def announce(
    listening: Mapping[ServerName, SocketAddress],
    control: SocketAddress | None,
    manager: ServiceManager,
) -> None:
    """Print where servers listen, and tell the service manager that all is ready.

    `control` is the address of the control API, if the configuration leaves its port
    open.
    """
    lines = [f"listening: {name} on {where}" for name, where in listening.items()]
    first = [] if control is None else [f"control: {control}"]
    print(*first, *lines, sep="\n", flush=True)
    others = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    manager.tell("READY=1", f"STATUS={lines[0]}{others}")
