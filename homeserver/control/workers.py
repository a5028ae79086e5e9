"""The control API of several workers: worker 1 answers, and asks the others.

Each other worker has the same routes at a UNIX socket.

| request | what worker 1 does |
|---|---|
| what is in the memory of a process | adds up the answers of all |
| the same with `?worker=N` | passes on the answer of that one |
| refused requests, and reports | lets the others write theirs before its own answer |
| what makes a process forget something | passes the request on after its own answer |
| every other one | answers it from the store |

Rules: a worker that does not answer holds nothing up for long. It makes the daemon
unhealthy, and is left out of sums.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

import msgspec
from msgspec.structs import replace
from twisted.internet import defer
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.control.parameters import CacheFilter, read_query
from homeserver.control.peer_views import Caches
from homeserver.control.views import Bounds, BoundView, Health
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.net.time_limit import within
from homeserver.protocol.errors import NotFound, Overloaded

_SECONDS = 2.0  # an answer takes milliseconds; health checks wait for a few seconds

_CONTENT_TYPE = re.compile(rb"(?i)\r\ncontent-type: ([ -~]+)")

_PASSED_ON = frozenset(
    {
        "DELETE /v1/caches",
        "DELETE /v1/state",
        "POST /v1/peers/{name}/retry",
        "DELETE /v1/peers/{name}/pin",
        "PUT /v1/peers/{name}/pin",
    }
)

_WITH_REFUSALS = frozenset(
    {"GET /v1/refused", "GET /v1/peers/{name}/report", "GET /v1/report/{name}"}
)

# Empty; but a worker writes the refusals that wait before it answers.
_NO_REFUSALS = b"/v1/refused?limit=1&after=9007199254740991"

Add = Callable[[Sequence[bytes], Request], bytes]
"""Makes one body of those of several workers, for a request."""


class OtherWorkers:
    """The workers beside the first one."""

    _log = Logger()

    def __init__(
        self,
        sockets: Mapping[int, str],
        token: str,
        reactor: PosixReactorBase,
        add_metrics: Callable[[Sequence[bytes]], bytes],
    ) -> None:
        """`sockets` are their UNIX sockets, and `token` that of the control API."""
        self._sockets = sockets
        self._token = token
        self._reactor = reactor
        self._added: Mapping[str, Add] = {
            "GET /metrics": lambda bodies, _: add_metrics(bodies),
            "GET /v1/bounds": _add_bounds,
            "GET /v1/caches": _add_caches,
        }

    def wrap(self, route: Route) -> Answer:
        """The answer of a route for all workers."""
        name = f"{route.method} {route.template}".replace("/v1/servers/{server}", "/v1")
        if name == "GET /health":
            return lambda request: self._health(route, request)
        if name in self._added:
            add = self._added[name]
            return lambda request: self._add(route, request, add)
        if name in _WITH_REFUSALS:
            return lambda request: self._after_writing(route, request)
        if name in _PASSED_ON:
            return lambda request: self._pass_on(route, request)
        return route.answer

    async def _health(self, route: Route, request: Request) -> Reply:
        own = await _answer(route, request)
        health = msgspec.json.decode(own.body, type=Health)
        status, remarks = own.status, dict.fromkeys(health.remarks)
        for number, reply in (await self._ask_all(route, request)).items():
            if reply is None:
                remarks[f"worker {number} does not answer"] = None
                status = 503
            else:
                other = msgspec.json.decode(reply.body, type=Health)
                remarks |= dict.fromkeys(other.remarks)
                status = max(status, reply.status)
        health = Health("ok" if status == 200 else "unavailable", tuple(remarks))
        return Reply(msgspec.json.encode(health), status)

    async def _add(self, route: Route, request: Request, add: Add) -> Reply:
        chosen = request.args.get(b"worker", [])
        if chosen and chosen != [b"1"]:
            return await self._one(route, request, chosen[0])
        own = await _answer(route, request)
        if chosen:
            return own
        others = (await self._ask_all(route, request)).values()
        bodies = [each.body for each in others if each and each.status == 200]
        return replace(own, body=add([own.body, *bodies], request))

    async def _one(self, route: Route, request: Request, chosen: bytes) -> Reply:
        """The answer of another worker."""
        named = [n for n in self._sockets if chosen == str(n).encode()]
        if not named:
            last = max(self._sockets)
            raise NotFound(f"`worker` is none of the workers, which are 1 to {last}")
        reply = await self._ask(named[0], route.method, request.uri, b"")
        if reply is None:
            raise Overloaded(f"worker {named[0]} does not answer", int(_SECONDS))
        return reply

    async def _after_writing(self, route: Route, request: Request) -> Reply:
        await self._ask_each("GET", _NO_REFUSALS, b"")
        return await _answer(route, request)

    async def _pass_on(self, route: Route, request: Request) -> Reply:
        """Let all forget; the answer is that of a worker that knew something."""
        try:
            own: Reply | NotFound = await _answer(route, request)
        except NotFound as problem:
            own = problem
        others = (await self._ask_all(route, request)).values()
        if isinstance(own, Reply):
            return own
        for reply in others:
            if reply is not None and reply.status == 200:
                return reply
        raise own

    async def _ask_all(self, route: Route, request: Request) -> dict[int, Reply | None]:
        """The answers of the other workers to the same request, by their numbers."""
        content = b""
        if request.content is not None:
            request.content.seek(0)
            content = request.content.read()
        return await self._ask_each(route.method, request.uri, content)

    async def _ask_each(
        self, method: str, target: bytes, content: bytes
    ) -> dict[int, Reply | None]:
        """The answers of the other workers to a request, by their numbers."""
        asked = [
            Deferred.fromCoroutine(self._ask(number, method, target, content))
            for number in self._sockets
        ]
        return dict(zip(self._sockets, await gatherResults(asked), strict=True))

    async def _ask(
        self, number: int, method: str, target: bytes, content: bytes
    ) -> Reply | None:
        """The answer of one worker; None if it does not answer."""
        head = (
            f"Host: localhost\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        # Of HTTP/1.0, so that the end of the answer is that of the connection.
        asking = _Asking(
            b"%b %b HTTP/1.0\r\n%b%b"
            % (method.encode(), target, head.encode(), content)
        )
        socket = UNIXClientEndpoint(self._reactor, self._sockets[number])
        try:
            connecting = connectProtocol(socket, asking)
            await within(_SECONDS, self._reactor, connecting)
            return await within(_SECONDS, self._reactor, asking.answer)
        except (ConnectError, defer.TimeoutError, ValueError):
            self._log.warn("worker {number} does not answer", number=number)
            return None


class _Asking(Protocol):
    """A connection with one request."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received: list[bytes] = []
        self.answer: Deferred[Reply] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        """Called by Twisted: the connection is open."""
        cast("ITCPTransport", self.transport).write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted: a piece of the answer."""
        self._received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection has ended, with the answer."""
        if self.answer.called:
            return
        head, _, body = b"".join(self._received).partition(b"\r\n\r\n")
        try:
            status = int(head[9:12])
        except ValueError:
            self.answer.errback(ValueError("the connection ended early"))
            return
        kind = _CONTENT_TYPE.search(head)
        headers = {} if kind is None else {"Content-Type": kind[1].decode("ascii")}
        self.answer.callback(Reply(body, status, headers))

    def _abort(self) -> None:
        cast("ITCPTransport", self.transport).abortConnection()


async def _answer(route: Route, request: Request) -> Reply:
    answered = route.answer(request)
    return await answered if isinstance(answered, Awaitable) else answered


def _add_bounds(bodies: Sequence[bytes], _: Request) -> bytes:
    """Each bound with the sum of its uses, limits and refusals."""
    found: dict[str, BoundView] = {}
    for body in bodies:
        for each in msgspec.json.decode(body, type=Bounds).bounds:
            known = found.get(each.name)
            found[each.name] = each if known is None else _sum(known, each)
    return msgspec.json.encode(Bounds([*found.values()]))


def _sum(one: BoundView, other: BoundView) -> BoundView:
    return replace(
        one,
        use=one.use + other.use,
        limit=one.limit + other.limit,
        refusals=one.refusals + other.refusals,
    )


def _add_caches(bodies: Sequence[bytes], request: Request) -> bytes:
    """The entries of all workers; of equal ones, the one that is kept for longest."""
    pages = [msgspec.json.decode(body, type=Caches) for body in bodies]
    found = {
        (each.cache, each.asked): each
        for each in sorted(
            (each for page in pages for each in page.caches),
            key=lambda each: each.kept_until_ts,
        )
    }
    unseen = sum(page.total - len(page.caches) for page in pages)
    limit = read_query(CacheFilter, request.uri).limit
    kept = [*found.values()][:limit]
    return msgspec.json.encode(Caches(kept, len(found) + unseen))
