"""The routes that list our servers.

Rules: as in `control.routes`. Where servers are made and removed by requests, other
routes do that.
"""

import re
from collections.abc import Callable, Collection, Iterable
from itertools import dropwhile, islice
from typing import Annotated

from msgspec import Meta, Struct

from homeserver.control.each_server import check_ours
from homeserver.control.parameters import MAX_LIMIT
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.http.request import Request
from homeserver.net.exchange import NO_ROUTE
from homeserver.protocol.errors import Forbidden, NotFound
from homeserver.protocol.identifiers import ServerName


class OwnServerView(Struct, frozen=True):
    """One of our servers."""

    server_name: str
    key_id: Annotated[str, Meta(description="Of the first key that signs.")]
    verify_key: Annotated[str, Meta(description="The public key, in base64.")]
    listen: Annotated[
        str | None,
        Meta(description="Where it listens, HOST:PORT; null if it does not."),
    ]
    certificate_sha256: Annotated[
        str, Meta(description="The fingerprint of its certificate, in hexadecimal.")
    ]


class OwnServers(Struct, frozen=True):
    """Our servers, in the order in which they were added."""

    servers: list[OwnServerView]
    next: Annotated[
        str | None,
        Meta(description="What `after` has to be for more; null at the end."),
    ]


class OwnServersPage(Struct, frozen=True):
    """Which of our servers."""

    after: Annotated[
        ServerName | None,
        Meta(description="The name of the last server that the client has."),
    ] = None
    limit: Annotated[
        int, Meta(ge=0, le=MAX_LIMIT, description="How many servers, at most.")
    ] = 100


_OF_A_LAB = re.compile(
    rb"/v1/((servers/[^/]+/)?(rules(/[^/]*)?|request|faults|sign|rooms/[^/]+/forge)"
    rb"|exchanges([./].*)?|expect|quiet)/?"
)


def refuse_lab_routes(request: Request, template: str) -> None:
    """Say what a route needs that only a lab has, and an endpoint that may be one.

    It is for an endpoint that is none. Raises `Forbidden`.
    """
    if template == NO_ROUTE and _OF_A_LAB.fullmatch(request.path):
        raise Forbidden(
            "rules, requests that are wrong on purpose and the record of exchanges "
            "need `[lab] rules = true` in the configuration, and a restart"
        )


def own_server_routes(
    names: Collection[ServerName], describe: Callable[[ServerName], OwnServerView]
) -> list[ControlRoute]:
    """`names` are those of our servers, which may change."""

    def list_servers(call: Call[OwnServersPage, Nothing]) -> OwnServers:
        """The servers of this daemon."""
        after, limit = call.query.after, call.query.limit
        rest: Iterable[ServerName] = names
        if after is not None:
            rest = islice(dropwhile(lambda name: name != after, names), 1, None)
        page = list(islice(rest, limit + 1))
        is_last = len(page) <= limit or limit == 0
        return OwnServers(
            [describe(name) for name in page[:limit]],
            None if is_last else page[limit - 1].name,
        )

    def show(call: Call[Nothing, Nothing]) -> OwnServerView:
        """One server of this daemon."""
        name = call.server("server")
        return describe(check_ours(name, names))

    every, one = "/v1/servers", "/v1/servers/{server}"
    return [
        route("GET", every, list_servers),
        route("GET", one, show, errors=(NotFound,)),
    ]
