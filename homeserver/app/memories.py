"""The cached data of all our servers about other servers' keys and routes.

Rules: only existing parts are used; showing or forgetting makes no part of a server.
"""

from homeserver.app.servers import Servers
from homeserver.keys.key_fetches import KeyFetches, Pause
from homeserver.outbound.transport.connector import Connector
from homeserver.protocol.identifiers import ServerName


class AllKeyFetches:
    """The pauses between fetches of keys, of all our servers."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def pauses(self) -> list[Pause]:
        """As `KeyFetches`."""
        return [pause for each in self._made() for pause in each.pauses()]

    def pause(self, server_name: ServerName) -> Pause | None:
        """As `KeyFetches`: the first one of our servers."""
        found = (each.pause(server_name) for each in self._made())
        return next((pause for pause in found if pause is not None), None)

    def end_pause(self, server_name: ServerName) -> None:
        """As `KeyFetches`."""
        for each in self._made():
            each.end_pause(server_name)

    def end_pauses(self) -> None:
        """As `KeyFetches`."""
        for each in self._made():
            each.end_pauses()

    def _made(self) -> list[KeyFetches]:
        return [each.keyring.fetches for each in self._servers if each.has("keyring")]


class AllFailedRoutes:
    """The routes that failed lately, of all our servers."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def forget(self, name: ServerName) -> bool:
        """As `Connector`."""
        had_any = False
        for each in self._made():
            had_any |= each.forget(name)
        return had_any

    def forget_all(self) -> None:
        """As `Connector`."""
        for each in self._made():
            each.forget_all()

    def _made(self) -> list[Connector]:
        return [each.connector for each in self._servers if each.has("connector")]
