"""Which of our servers answers a request.

Rules: a signed request is answered by its `destination`. Without one, and for routes
that need no signature, the connection and the `Host` decide (`identity.local_names`). A
`destination` that is none of ours is refused in the name of the server that these
choose.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from homeserver.config.values import Profile
from homeserver.http.request import Request
from homeserver.identity.local_names import Arrival, LocalNames
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.notary import Notary
from homeserver.inbound.signed_requests import SignedRequests
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.net.tls.server import connection_of
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import ServerName


class LocalServer(Protocol):
    """What answers the requests to one of our servers."""

    @property
    def signed_requests(self) -> SignedRequests:
        """Authenticates signed requests."""
        ...

    @property
    def receiver(self) -> TransactionReceiver:
        """Takes transactions."""
        ...

    @property
    def publisher(self) -> KeyPublisher:
        """Its own key documents."""
        ...

    @property
    def notary(self) -> Notary:
        """Other servers' key documents, with its signature."""
        ...

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of its users, by user ID."""
        ...

    @property
    def delegate_to(self) -> ServerName | None:
        """The name that it delegates to."""
        ...


_S_co = TypeVar("_S_co", bound=LocalServer, covariant=True)


class LocalServers(Generic[_S_co]):
    """Finds the server of each request."""

    def __init__(self, names: LocalNames, find: Callable[[ServerName], _S_co]) -> None:
        """`find` returns the server of a name that is in `names`."""
        self._names = names
        self._find = find

    def note_claim(self, request: Request, _: str) -> None:
        """Note the claimed origin and destination of a request, whatever its route."""
        exchange = request.exchange
        exchange.peer = request.x_matrix.claimed_origin
        name = self._claimed(request) or self._names.answering(_arrival(request))
        exchange.server = "" if name is None else name.name

    def of_signed(self, request: Request) -> _S_co:
        """The server of a signed request; raises `NotFound` while there is none."""
        name = self._claimed(request)
        return self.of_unsigned(request) if name is None else self._find(name)

    def of_unsigned(self, request: Request) -> _S_co:
        """The server of any other request; raises `NotFound` while there is none."""
        name = self._names.answering(_arrival(request))
        if name is None:
            raise NotFound("there is no server here")
        request.exchange.server = name.name
        return self._find(name)

    def _claimed(self, request: Request) -> ServerName | None:
        """The destination of a request, if it is one of our servers."""
        destination = request.x_matrix.claimed_destination
        return destination if destination in self._names else None


def _arrival(request: Request) -> Arrival:
    host = request.getHeader(b"Host")
    shown = None if host is None else host.decode("ascii", "replace")
    connection = connection_of(request.channel.transport)
    if connection is None:
        return Arrival(host=shown)
    listening = connection.listening
    return Arrival(listening.own, listening.default, connection.sni, shown)
