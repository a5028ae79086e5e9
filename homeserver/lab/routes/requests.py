"""The route of one request to another server, with each part open to change.

Rules: as those of `control.routes`. What is on the wire has the shapes of
`lab.request` and `lab.spoil.request_body`.
"""

from collections.abc import Callable

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.request import RequestView, send_request
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.lab.spoil.transmission import Means
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import ServerName


def request_routes(
    means: Callable[[ServerName], Means],
    exchanges: Exchanges,
    clock: IReactorTime,
    id_of: Callable[[Exchange], int | None] = lambda _: None,
) -> list[ControlRoute]:
    """`means` are those of a server of ours; it raises `NotFound` for another one.

    `id_of` is the ID of an exchange in the record; None without one.
    """

    async def request(call: Call[Nothing, RequestBody]) -> RequestView:
        """Send one request to another server now, with each part open to change."""
        ours = means(call.server("server"))
        exchange, view = await send_request(call.body, ours, exchanges, clock)
        return replace(view, exchange=id_of(exchange))

    return [route("POST", "/v1/servers/{server}/request", request, errors=(NotFound,))]
