"""The keys of the lab's servers, for faults that sign.

Rules: a server that was deleted has none, and its answers stay as they are.
"""

from collections.abc import Callable, Sequence

from homeserver.app.server import Server
from homeserver.lab.servers.server import LabServer
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey


class ServerKeys:
    """Finds keys by the name of the server."""

    def __init__(
        self,
        find: Callable[[ServerName], LabServer],
        parts: Callable[[ServerName], Server],
    ) -> None:
        """Both raise `NotFound` for a name that the lab does not have."""
        self._find = find
        self._parts = parts

    def signing(self, server: str) -> Sequence[SigningKey]:
        """Those that sign; none for a name that the lab does not have."""
        try:
            found = self._find(ServerName.parse(server))
        except ProtocolError:
            return []
        return [found.key(key_id) for key_id in found.keys.signing]

    def spare(self, server: str, key_id: KeyId) -> SigningKey:
        """The key for any ID; raises `NotFound`."""
        return self._find(ServerName.parse(server)).key(key_id)

    def policy(self, server: str) -> SigningKey | None:
        """The key of a policy server; None for one that is none."""
        return self._parts(ServerName.parse(server)).policy_desk.key
