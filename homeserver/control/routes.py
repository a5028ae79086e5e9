"""The routes of the control API, one line each.

Rules: a route reads its parameters, calls one part, and answers in JSON. Decisions are
made in that part, so that the command line does not repeat them.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from homeserver.control.caches import CacheBook
from homeserver.control.parameters import (
    flag_argument,
    integer,
    json_body,
    limit_argument,
    position_argument,
    server_argument,
    server_parameter,
    wait_argument,
)
from homeserver.control.submit import Submitter
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.inbound.refusals import Refusals
from homeserver.net.bounds import Bound
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, NotFound
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.drops import AlreadyOver
from homeserver.storage.received import ReceivedStore

# Prometheus' text format.
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_T = TypeVar("_T")

OPEN_TEMPLATES = frozenset({"/health"})
"""The routes that need no token."""


def status_routes(
    is_healthy: Callable[[], Awaitable[bool]],
    read_metrics: Callable[[], Awaitable[bytes]],
    bounds: Sequence[Bound],
) -> list[Route]:
    """The state of this server."""

    async def health(_: Request) -> Reply:
        if await is_healthy():
            return json_reply({"status": "ok"})
        return json_reply({"status": "unavailable"}, status=503)

    async def metrics(_: Request) -> Reply:
        return Reply(await read_metrics(), headers={"Content-Type": _METRICS_TYPE})

    def show_bounds(_: Request) -> Reply:
        return json_reply({"bounds": [_bound(each) for each in bounds]})

    return [
        Route("GET", "/health", health),
        Route("GET", "/metrics", metrics),
        Route("GET", "/v1/bounds", show_bounds),
    ]


def _bound(bound: Bound) -> Json:
    return {
        "name": bound.name,
        "what": bound.what,
        "use": bound.use(),
        "limit": bound.limit,
        "refusals": bound.refusals,
    }


def send_routes(submitter: Submitter, sender: Sender) -> list[Route]:
    """The outbound queue."""

    async def submit(request: Request) -> Reply:
        destination = server_parameter(request, "destination")
        own_id = await submitter.submit(destination, json_body(request))
        return json_reply({"id": own_id}, status=202)

    async def drop_all(request: Request) -> Reply:
        if request.path.endswith(b"/"):
            raise InvalidParam(
                "the ID is empty; without the last slash, all is dropped"
            )
        destination = server_parameter(request, "destination")
        return json_reply({"dropped": await sender.drop_all(destination)})

    async def state(request: Request) -> Reply:
        destination, entry_id = _entry(request)
        found = await sender.state(destination, entry_id, wait_argument(request))
        return json_reply(_queued(found, destination, entry_id))

    async def drop(request: Request) -> Reply:
        destination, entry_id = _entry(request)
        try:
            entries = await sender.drop(destination, entry_id)
        except AlreadyOver as problem:
            raise NotFound(f"{problem}; there is nothing to drop") from None
        return json_reply({"dropped": _queued(entries, destination, entry_id)})

    return [
        Route("POST", "/v1/send/{destination}", submit),
        Route("DELETE", "/v1/send/{destination}", drop_all),
        Route("GET", "/v1/send/{destination}/{id}", state),
        Route("DELETE", "/v1/send/{destination}/{id}", drop),
    ]


def _entry(request: Request) -> tuple[ServerName, int]:
    destination = server_parameter(request, "destination")
    return destination, integer("the ID", request.parameters["id"])


def _queued(found: _T | None, destination: ServerName, entry_id: int) -> _T:
    """What was found of an entry; raises `NotFound` if nothing was."""
    if found is None:
        raise NotFound(f"nothing of ID {entry_id} was queued for {destination}")
    return found


def inbound_routes(received: ReceivedStore, refusals: Refusals) -> list[Route]:
    """Received transactions and refused requests."""
    return [
        Route("GET", "/v1/received", _listed("transactions", received.after)),
        Route("GET", "/v1/refused", _listed("refused", refusals.after)),
    ]


def _listed(
    member: str,
    load: Callable[[int, ServerName | None, int, float], Awaitable[list[Json]]],
) -> Answer:
    """Answers with what `load` finds after a position, and the position after that."""

    async def answer(request: Request) -> Reply:
        after = position_argument(request)
        found = await load(
            after,
            server_argument(request, "origin"),
            limit_argument(request, default=100),
            wait_argument(request),
        )
        last = found[-1]["id"] if found else after
        return json_reply({member: found, "next": last})

    return answer


def cache_routes(book: CacheBook) -> list[Route]:
    """The caches of discovery and of the keyring."""

    def show(request: Request) -> Reply:
        limit = limit_argument(request, default=1000)
        name = server_argument(request, "server")
        kept = book.all() if name is None else book.about(name)
        return json_reply({"caches": kept[:limit], "total": len(kept)})

    def forget(request: Request) -> Reply:
        name = server_argument(request, "server")
        if name is None:
            book.forget_all()
        else:
            book.forget(name)
        return json_reply({})

    return [
        Route("GET", "/v1/caches", show),
        Route("DELETE", "/v1/caches", forget),
    ]


def lookup_routes(
    resolve: Callable[[ServerName], Awaitable[Json]],
    fetch_keys: Callable[..., Awaitable[Json]],
    caches: CacheBook,
) -> list[Route]:
    """Look-ups of another server that are made now.

    `fetch_keys` takes `v2_only`: whether to skip the version 1 document.
    """

    async def show_resolution(request: Request) -> Reply:
        return json_reply(await resolve(server_parameter(request, "name")))

    async def show_keys(request: Request) -> Reply:
        describe = partial(fetch_keys, v2_only=flag_argument(request, "v2_only"))
        name = server_parameter(request, "name")
        return json_reply(await caches.show_beside(describe, name))

    return [
        Route("GET", "/v1/resolve/{name}", show_resolution),
        Route("GET", "/v1/keys/{name}", show_keys),
    ]
