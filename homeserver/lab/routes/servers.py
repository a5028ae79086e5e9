"""Routes of the lab's servers: made, listed, changed, deleted, and their sending.

Rules: as those of `control.routes`. What is on the wire has the shapes of
`lab.servers.description` and `lab.request`.
"""

from functools import partial
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from homeserver.app.shared import Shared
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.record.record import Record
from homeserver.lab.request import RequestView, send_request
from homeserver.lab.servers.description import Change, NewServers, ServerView
from homeserver.lab.servers.servers import LabServers
from homeserver.lab.spoil.request_body import RequestBody
from homeserver.protocol.errors import NotFound, TooLarge

_Bare = Call[Nothing, Nothing]


class ServersView(Struct, frozen=True):
    """Servers of the lab, in the order in which they were made."""

    servers: list[ServerView]


class Deletion(Struct, frozen=True):
    """How to delete a server."""

    gone: Annotated[
        bool,
        Meta(description="Whether it answers nothing any more; else it is polite."),
    ] = False


def server_routes(
    servers: LabServers, record: Record, shared: Shared
) -> list[ControlRoute]:
    """The servers."""

    async def make(call: Call[Nothing, NewServers]) -> ServersView:
        """Make one server, or several with names of their own."""
        made = await servers.make(call.body)
        return ServersView([servers.view(server) for server in made])

    def listed(_: _Bare) -> ServersView:
        """The servers of the lab."""
        return ServersView([servers.view(server) for server in servers])

    def shown(call: _Bare) -> ServerView:
        """One server."""
        return servers.view(servers.find(call.server("server")))

    async def change(call: Call[Nothing, Change]) -> ServerView:
        """Replace keys, the certificate, DNS records or the well-known document."""
        return servers.view(await servers.change(call.server("server"), call.body))

    async def delete(call: Call[Deletion, Nothing]) -> ServersView:
        """Delete a server; it goes on answering politely unless it is to be gone."""
        await servers.delete(call.server("server"), gone=call.query.gone)
        return ServersView([])

    async def request(call: Call[Nothing, RequestBody]) -> RequestView:
        """Send one request to another server now, with each part open to change."""
        server = servers.find(call.server("server"))
        parts = servers.parts(server.name)
        exchange, view = await send_request(
            call.body,
            parts.credentials.identity(),
            server.key,
            parts.agent,
            shared.exchanges,
            shared.reactor,
        )
        return replace(view, exchange=record.id_of(exchange))

    every, one = "/v1/servers", "/v1/servers/{server}"
    missing = partial(route, errors=(NotFound,))
    return [
        route(
            "POST",
            every,
            make,
            Nothing,
            NewServers,
            ServersView,
            status=201,
            errors=(TooLarge,),
        ),
        route("GET", every, listed, Nothing, Nothing, ServersView),
        missing("GET", one, shown, Nothing, Nothing, ServerView),
        missing("PATCH", one, change, Nothing, Change, ServerView),
        missing("DELETE", one, delete, Deletion, Nothing, ServersView),
        missing("POST", f"{one}/request", request, Nothing, RequestBody, RequestView),
    ]
