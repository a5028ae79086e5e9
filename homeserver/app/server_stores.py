"""The bill of materials: what is configured, stored and defined for a server of ours.

Rules: as those of `app.server`, of whose bill of materials this is a part.
"""

from collections import ChainMap
from collections.abc import Mapping
from functools import cached_property

from homeserver.app.credentials import Credentials
from homeserver.app.shared import Shared
from homeserver.config.values import Profile, ServerConfig
from homeserver.net.tls.server import Presented
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peers import PeerStore
from homeserver.storage.received import ReceivedStore
from homeserver.users.control_routes import UserDesk
from homeserver.users.media import MediaShelf
from homeserver.users.users import Users


class ServerStores:
    """The configuration and the stores of one of our servers."""

    def __init__(
        self, config: ServerConfig, credentials: Credentials, shared: Shared
    ) -> None:
        self.name = config.server_name
        self.credentials = credentials
        self._config = config
        self._shared = shared

    def reconfigure(self, config: ServerConfig) -> None:
        """Be what another configuration of the same name says, from now on."""
        self._config = config
        for part in ("publisher", "notary"):  # they have the validity of the keys
            self.__dict__.pop(part, None)

    def has(self, part: str) -> bool:
        """Whether a part was made; without it there is nothing to end or to close."""
        return part in self.__dict__

    @property
    def presented(self) -> Presented:
        """The certificate that it presents, and whether it requests one."""
        return Presented(
            self.credentials.identity().certificate,
            self._config.tls.client_certificates != "ignore",
            self.name.name,
        )

    @cached_property
    def users(self) -> Users:
        """Its users that a test defines."""
        return Users(self.name)

    @cached_property
    def media(self) -> MediaShelf:
        """Its media that a test defines."""
        return MediaShelf()

    @cached_property
    def policy_desk(self) -> PolicyDesk:
        """Signs events as a policy server, if a test makes it one."""
        return PolicyDesk(self.name, self._shared.random)

    @property
    def user_desk(self) -> UserDesk:
        """Defines its users and media."""
        shared = self._shared
        workers = 1 if shared.worker is None else shared.worker.count
        return UserDesk(self.users, self.media, shared.random, workers)

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of its users, by user ID, as they are at any moment."""
        return ChainMap(self.users.profiles, dict(self._config.profiles))

    @property
    def delegate_to(self) -> ServerName | None:
        """The name that it delegates to."""
        return self._config.discovery.delegate_to

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
