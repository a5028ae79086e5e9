"""A site's server where there is only one, whatever a request names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from homeserver.config.values import Profile
from homeserver.http.request import Request
from homeserver.identity.local_names import LocalNames
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.local_servers import LocalServers
from homeserver.inbound.notary import Notary
from homeserver.inbound.signed_requests import SignedRequests
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.resident import Resident
from homeserver.users.media import MediaShelf
from homeserver.users.users import Users

_NONE = cast("Any", None)


@dataclass
class OneServer:
    """The parts of a server that a test needs."""

    signed_requests: SignedRequests = _NONE
    receiver: TransactionReceiver = _NONE
    publisher: KeyPublisher = _NONE
    notary: Notary = _NONE
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    delegate_to: ServerName | None = None
    resident: Resident = _NONE
    users: Users = _NONE
    media: MediaShelf = _NONE


class OnlyServer(LocalServers[OneServer]):
    """Finds one server for every request."""

    def __init__(self, server: OneServer) -> None:
        super().__init__(LocalNames(), lambda _: server)
        self._server = server

    def of_signed(self, request: Request) -> OneServer:
        """As `LocalServers`."""
        return self._server

    def of_unsigned(self, request: Request) -> OneServer:
        """As `LocalServers`."""
        return self._server
