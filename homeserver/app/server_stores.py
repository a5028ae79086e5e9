"""The bill of materials: what is stored for one of our servers.

Rules: as those of `app.server`, of whose bill of materials this is a part.
"""

from functools import cached_property

from homeserver.app.shared import Shared
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peers import PeerStore
from homeserver.storage.received import ReceivedStore


class ServerStores:
    """The stores of one of our servers."""

    def __init__(self, name: ServerName, shared: Shared) -> None:
        self.name = name
        self._shared = shared

    @cached_property
    def received(self) -> ReceivedStore:
        """The received transactions."""
        shared = self._shared
        changes = shared.make_changes(shared.received)
        return ReceivedStore(shared.store.database, self.name, changes)

    @cached_property
    def peers(self) -> PeerStore:
        """The stored data about other servers."""
        shared = self._shared
        return PeerStore(
            shared.store.database, self.name, shared.reactor, shared.peer_memory
        )

    @cached_property
    def queue(self) -> OutboundQueue:
        """The outbound queue."""
        store = self._shared.store
        return OutboundQueue(store.database, self.name, store.clock)

    @cached_property
    def known_peers(self) -> KnownPeers:
        """The known servers, and those with a queue."""
        return KnownPeers(self._shared.store.database, self.name)
