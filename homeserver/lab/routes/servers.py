"""Routes of the lab's servers: made, listed, changed, deleted, and their sending.

Rules: as those of `control.routes`. What is on the wire has the shapes of
`lab.servers.description`.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field
from twisted.internet.interfaces import IReactorTime

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.lab.record.record import Record
from homeserver.lab.routes.requests import request_routes
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.rules.rules import Rules
from homeserver.lab.servers.description import Change, NewServers, ServerView
from homeserver.lab.servers.server import LabServer
from homeserver.lab.servers.servers import LabServers
from homeserver.lab.spoil.transmission import Means
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.errors import NotFound, TooLarge
from homeserver.protocol.identifiers import ServerName

_Bare = Call[Nothing, Nothing]


class ServersView(Struct, frozen=True):
    """Servers of the lab, in the order in which they were made."""

    servers: list[ServerView]


class NewServersBody(NewServers, frozen=True, forbid_unknown_fields=True):
    """One server, or several, with the rules of each."""

    rules: Annotated[
        list[RuleBody], Meta(description="Put in force for each of them.")
    ] = field(default_factory=list)


class ChangeBody(Change, frozen=True, forbid_unknown_fields=True):
    """What to change of a server."""

    rules: Annotated[
        list[RuleBody] | UnsetType,
        Meta(description="In place of those that are in force."),
    ] = UNSET


class Deletion(Struct, frozen=True):
    """How to delete a server."""

    gone: Annotated[
        bool,
        Meta(description="Whether it answers nothing any more; else it is polite."),
    ] = False


async def _make(
    servers: LabServers, rules: Rules, told: NewServersBody
) -> list[LabServer]:
    rules.check(told.rules)
    made = await servers.make(told)
    for server in made:
        # Without rules, too: an earlier server of the name may have had some.
        rules.replace(server.name.name, told.rules)
    return made


async def _change(
    servers: LabServers, rules: Rules, name: ServerName, told: ChangeBody
) -> LabServer:
    if told.rules is UNSET:
        return await servers.change(name, told)
    rules.check(told.rules)
    server = await servers.change(name, told)
    rules.replace(name.name, told.rules)
    return server


def server_routes(
    servers: LabServers,
    rules: Rules,
    record: Record,
    exchanges: Exchanges,
    clock: IReactorTime,
) -> list[ControlRoute]:
    """The servers."""

    async def make(call: Call[Nothing, NewServersBody]) -> ServersView:
        """Make one server, or several with names of their own."""
        made = await _make(servers, rules, call.body)
        return ServersView([servers.view(server) for server in made])

    def listed(_: _Bare) -> ServersView:
        """The servers of the lab."""
        return ServersView([servers.view(server) for server in servers])

    def shown(call: _Bare) -> ServerView:
        """One server."""
        return servers.view(servers.find(call.server("server")))

    async def change(call: Call[Nothing, ChangeBody]) -> ServerView:
        """Replace keys, certificate, DNS records, well-known document or rules."""
        return servers.view(
            await _change(servers, rules, call.server("server"), call.body)
        )

    async def delete(call: Call[Deletion, Nothing]) -> ServersView:
        """Delete a server; it goes on answering politely unless it is to be gone."""
        await servers.delete(call.server("server"), gone=call.query.gone)
        return ServersView([])

    def means(name: ServerName) -> Means:
        return servers.means(name)

    every, one = "/v1/servers", "/v1/servers/{server}"
    missing = (NotFound,)
    return [
        route("POST", every, make, status=201, errors=(TooLarge,)),
        route("GET", every, listed),
        route("GET", one, shown, errors=missing),
        route("PATCH", one, change, errors=missing),
        route("DELETE", one, delete, errors=missing),
        *request_routes(means, exchanges, clock, record.id_of),
    ]
