"""The routes of the control API.

Rules of the room: a route reads its parameters, asks one part, and answers in JSON.
Nothing is decided here that the command line would have to decide again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from twisted.web.resource import IResource

from homeserver.control.access import Guard, GuardedTree, check_host
from homeserver.control.caches import CacheBook
from homeserver.control.client import MAX_WAIT_SECONDS
from homeserver.control.submit import Submitter
from homeserver.http.request import Request
from homeserver.http.resource import JsonResource, Reply, json_reply
from homeserver.inbound.refusals import Refusals
from homeserver.net.bounds import Bound
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import (
    InvalidParam,
    NotFound,
    quote,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.drops import AlreadyOver
from homeserver.storage.received import ReceivedStore

# Prometheus' text format.
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_LIMIT = 1000  # transactions in one answer


class _Below(JsonResource):
    """A resource whose next step of the path is a value."""

    def __init__(self, child: Callable[[str], IResource]) -> None:
        super().__init__()
        self._child = child

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource for the value `path`."""
        return self._child(path.decode("utf-8", "replace"))


class _Destination(JsonResource):
    """`/v1/send/{destination}`, and below it the entries by ID."""

    def __init__(self, destination: str, submitter: Submitter, sender: Sender) -> None:
        super().__init__(
            {b"POST": self._post, b"DELETE": self._drop_all}, "/v1/send/{destination}"
        )
        self._destination = destination
        self._submitter = submitter
        self._sender = sender

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The state of the entry whose ID is `path`."""

        async def state(request: Request) -> Reply:
            destination = ServerName.parse(self._destination)
            entry_id = _integer("the ID", path)
            wait = _wait(request)
            found = await self._sender.state(destination, entry_id, wait)
            if found is None:
                raise NotFound(f"nothing of ID {entry_id} was queued for {destination}")
            return json_reply(found)

        async def drop(_: Request) -> Reply:
            destination = ServerName.parse(self._destination)
            entry_id = _integer("the ID", path)
            try:
                entries = await self._sender.drop(destination, entry_id)
            except AlreadyOver as problem:
                raise NotFound(f"{problem}; there is nothing to drop") from None
            if entries is None:
                raise NotFound(f"nothing of ID {entry_id} was queued for {destination}")
            return json_reply({"dropped": entries})

        return JsonResource(
            {b"GET": state, b"DELETE": drop}, "/v1/send/{destination}/{id}"
        )

    async def _post(self, request: Request) -> Reply:
        destination = ServerName.parse(self._destination)
        body = b"" if request.content is None else request.content.read()
        own_id = await self._submitter.submit(destination, parse_object(body))
        return json_reply({"id": own_id}, status=202)

    async def _drop_all(self, _: Request) -> Reply:
        destination = ServerName.parse(self._destination)
        return json_reply({"dropped": await self._sender.drop_all(destination)})


def build_tree(
    guard: Guard,
    is_healthy: Callable[[], Awaitable[bool]],
    read_metrics: Callable[[], Awaitable[bytes]],
    routes: Mapping[str, IResource],
) -> JsonResource:
    """`/health`, `/metrics`, and below `/v1` the given routes, by their first step."""

    async def health(request: Request) -> Reply:
        check_host(request)
        if await is_healthy():
            return json_reply({"status": "ok"})
        return json_reply({"status": "unavailable"}, status=503)

    async def metrics(_: Request) -> Reply:
        return Reply(await read_metrics(), headers={"Content-Type": _METRICS_TYPE})

    root = GuardedTree(guard, open_steps={b"health"})
    first = JsonResource()
    root.putChild(b"health", JsonResource({b"GET": health}, "/health"))
    root.putChild(b"metrics", JsonResource({b"GET": metrics}, "/metrics"))
    root.putChild(b"v1", first)
    for step, resource in routes.items():
        first.putChild(step.encode("ascii"), resource)
    return root


def send_tree(submitter: Submitter, sender: Sender) -> JsonResource:
    """`/v1/send`."""
    return _Below(lambda name: _Destination(name, submitter, sender))


def received_resource(received: ReceivedStore) -> JsonResource:
    """`/v1/received`."""

    async def answer(request: Request) -> Reply:
        after = _integer("`after`", _argument(request, "after") or b"0")
        limit = _integer("`limit`", _argument(request, "limit") or b"100")
        transactions = await received.after(
            after,
            _server(request, "origin"),
            min(limit, MAX_LIMIT),
            _wait(request),
        )
        last = transactions[-1]["id"] if transactions else after
        return json_reply({"transactions": transactions, "next": last})

    return JsonResource({b"GET": answer}, "/v1/received")


def refused_resource(refusals: Refusals) -> JsonResource:
    """`/v1/refused`."""

    async def answer(request: Request) -> Reply:
        after = _integer("`after`", _argument(request, "after") or b"0")
        limit = _integer("`limit`", _argument(request, "limit") or b"100")
        last = await refusals.after(
            after, _server(request, "origin"), min(limit, MAX_LIMIT), _wait(request)
        )
        newest = last[-1]["id"] if last else after
        return json_reply({"refused": last, "next": newest})

    return JsonResource({b"GET": answer}, "/v1/refused")


def caches_resource(book: CacheBook) -> JsonResource:
    """`/v1/caches`."""

    def show(request: Request) -> Reply:
        limit = _integer("`limit`", _argument(request, "limit") or b"1000")
        name = _server(request, "server")
        kept = book.all() if name is None else book.about(name)
        return json_reply({"caches": kept[: min(limit, MAX_LIMIT)], "total": len(kept)})

    def forget(request: Request) -> Reply:
        name = _server(request, "server")
        if name is None:
            book.forget_all()
        else:
            book.forget(name)
        return json_reply({})

    return JsonResource({b"GET": show, b"DELETE": forget}, "/v1/caches")


def bounds_resource(bounds: Sequence[Bound]) -> JsonResource:
    """`/v1/bounds`."""

    def answer(_: Request) -> Reply:
        return json_reply(
            {
                "bounds": [
                    {
                        "name": bound.name,
                        "what": bound.what,
                        "use": bound.use(),
                        "limit": bound.limit,
                        "refusals": bound.refusals,
                    }
                    for bound in bounds
                ]
            }
        )

    return JsonResource({b"GET": answer}, "/v1/bounds")


def named_tree(
    route: str, describe: Callable[[ServerName], Awaitable[Json]]
) -> JsonResource:
    """What is described of the server whose name is the next step of the path."""

    def child(name: str) -> IResource:
        async def answer(_: Request) -> Reply:
            return json_reply(await describe(ServerName.parse(name)))

        return JsonResource({b"GET": answer}, route)

    return _Below(child)


def keys_tree(
    caches: CacheBook, describe: Callable[..., Awaitable[Json]]
) -> JsonResource:
    """`/v1/keys`; `describe` takes `v2_only`, whether version 1 is not asked for."""

    def child(name: str) -> IResource:
        async def answer(request: Request) -> Reply:
            asked = partial(describe, v2_only=_flag(request, "v2_only"))
            return json_reply(await caches.show_beside(asked, ServerName.parse(name)))

        return JsonResource({b"GET": answer}, "/v1/keys/{name}")

    return _Below(child)


def _flag(request: Request, name: str) -> bool:
    value = _argument(request, name) or b"false"
    if value not in {b"true", b"false"}:
        raise InvalidParam(f"`{name}` is neither true nor false: {quote(value)}")
    return value == b"true"


def _argument(request: Request, name: str) -> bytes | None:
    values = request.args.get(name.encode("ascii"), [])
    if len(values) > 1:
        raise InvalidParam(f"`{name}` is given more than once")
    return values[0] if values else None


def _server(request: Request, name: str) -> ServerName | None:
    value = _argument(request, name)
    return None if value is None else ServerName.parse(value.decode("latin-1"))


def _integer(what: str, text: bytes) -> int:
    if not (text.isdigit() and len(text) <= 18):  # 18 digits fit into 64 bits
        raise InvalidParam(f"{what} is not a number: {quote(text)}")
    return int(text)


def _wait(request: Request) -> float:
    text = _argument(request, "wait") or b"0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0.0:
        raise InvalidParam(f"`wait` is not a number of seconds: {quote(text)}")
    return min(seconds, MAX_WAIT_SECONDS)
