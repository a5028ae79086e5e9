"""The routes of the control API.

Rules of the room: a route reads its parameters, asks one part, and answers in JSON.
Nothing is decided here that the command line would have to decide again.
"""

from collections.abc import Awaitable, Callable

from twisted.web.resource import IResource
from twisted.web.server import Request

from homeserver.control.access import Guard, check_host
from homeserver.control.sending import Submitter
from homeserver.inbound.resource import JsonResource, Reply, json_reply
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.sender import Sender
from homeserver.protocol.canonical import Json, parse_object
from homeserver.protocol.discovery import NotResolvable, Route, Step
from homeserver.protocol.errors import InvalidParam, NotFound, quote
from homeserver.protocol.names import ServerName
from homeserver.storage.received import ReceivedStore

MAX_WAIT_SECONDS = 60.0  # of one request; who wants to wait longer asks again
MAX_LIMIT = 1000  # transactions in one answer


async def describe_resolution(resolver: Resolver, name: ServerName) -> Json:
    """Each step of resolving `name` and the routes, or why there are none."""
    try:
        resolution = await resolver.resolve(name)
    except NotResolvable as problem:
        return {
            "server_name": name.name,
            "steps": [_step(step) for step in problem.steps],
            "error": str(problem),
        }
    return {
        "server_name": name.name,
        "steps": [_step(step) for step in resolution.steps],
        "routes": [_route(route) for route in resolution.routes],
    }


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

    def __init__(
        self, destination: str, guard: Guard, submitter: Submitter, sender: Sender
    ) -> None:
        super().__init__({b"POST": guard(self._post)})
        self._destination = destination
        self._guard = guard
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

        return JsonResource({b"GET": self._guard(state)})

    async def _post(self, request: Request) -> Reply:
        destination = ServerName.parse(self._destination)
        body = b"" if request.content is None else request.content.read()
        own_id = await self._submitter.submit(destination, parse_object(body))
        return json_reply({"id": own_id}, status=202)


def build_tree(
    guard: Guard,
    is_healthy: Callable[[], Awaitable[bool]],
    submitter: Submitter,
    sender: Sender,
    received: ReceivedStore,
    resolver: Resolver,
) -> JsonResource:
    """All routes of the control API."""

    async def health(request: Request) -> Reply:
        check_host(request)
        if await is_healthy():
            return json_reply({"status": "ok"})
        return json_reply({"status": "unavailable"}, status=503)

    async def list_received(request: Request) -> Reply:
        origin = _argument(request, "origin")
        after = _integer("`after`", _argument(request, "after") or b"0")
        limit = _integer("`limit`", _argument(request, "limit") or b"100")
        transactions = await received.after(
            after,
            None if origin is None else ServerName.parse(origin.decode("latin-1")),
            min(limit, MAX_LIMIT),
            _wait(request),
        )
        last = transactions[-1]["id"] if transactions else after
        return json_reply({"transactions": transactions, "next": last})

    def resolve(name: str) -> IResource:
        async def answer(_: Request) -> Reply:
            return json_reply(
                await describe_resolution(resolver, ServerName.parse(name))
            )

        return JsonResource({b"GET": guard(answer)})

    def destination(name: str) -> IResource:
        return _Destination(name, guard, submitter, sender)

    root, first = JsonResource(), JsonResource()
    root.putChild(b"health", JsonResource({b"GET": health}))
    root.putChild(b"v1", first)
    first.putChild(b"send", _Below(destination))
    first.putChild(b"received", JsonResource({b"GET": guard(list_received)}))
    first.putChild(b"resolve", _Below(resolve))
    return root


def _argument(request: Request, name: str) -> bytes | None:
    values = request.args.get(name.encode("ascii"), [])
    if len(values) > 1:
        raise InvalidParam(f"`{name}` is given more than once")
    return values[0] if values else None


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


def _step(step: Step) -> Json:
    return {"step": step.step, "asked": step.asked, "found": step.found}


def _route(route: Route) -> Json:
    return {
        "host": route.host,
        "port": route.port,
        "host_header": route.host_header,
        "certificate_name": route.certificate_name,
        "srv_priority": route.srv_priority,
        "srv_weight": route.srv_weight,
    }
