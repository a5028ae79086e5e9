"""The routes of the control API about known peers.

Rules: as in `control.routes`.
"""

from typing import TypeVar

from homeserver.control.parameters import json_body, server_parameter
from homeserver.control.peers import PeerBook
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.protocol.errors import NotFound, quote
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")


def peer_routes(book: PeerBook) -> list[Route]:
    """What is known of peers, and what an operator may change of it."""

    async def list_peers(_: Request) -> Reply:
        return json_reply({"peers": await book.all()})

    async def describe(request: Request) -> Reply:
        name = server_parameter(request, "name")
        return json_reply(_known(await book.describe(name), name))

    async def retry(request: Request) -> Reply:
        name = server_parameter(request, "name")
        _known(await book.retry(name), name)
        return json_reply({})

    async def forget(request: Request) -> Reply:
        name = server_parameter(request, "name")
        _known(await book.forget(name), name)
        return json_reply({})

    async def pin(request: Request) -> Reply:
        name = server_parameter(request, "name")
        await book.pin(name, json_body(request))
        return json_reply({})

    return [
        Route("GET", "/v1/peers", list_peers),
        Route("GET", "/v1/peers/{name}", describe),
        Route("POST", "/v1/peers/{name}/retry", retry),
        Route("DELETE", "/v1/peers/{name}/pin", forget),
        Route("PUT", "/v1/peers/{name}/pin", pin),
    ]


def _known(found: _T | None, name: ServerName) -> _T:
    """What was found of a peer; `NotFound` if nothing was."""
    if not found:
        raise NotFound(f"nothing is known of a peer {quote(name.name)}")
    return found
