"""The route table: which answer a method and a path lead to.

Rules: a look-up is pure. A request is admitted once: with a body, before that is read;
without one, when it is complete. A path is split first, then each step is
percent-decoded once, so an encoded slash separates nothing. A literal step wins over a
parameter, a parameter is never empty, and one trailing slash is ignored. HEAD is
answered as GET is, without the body.

Specification: Server-server API, "API standards".
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self
from urllib.parse import unquote_to_bytes

from msgspec import Struct, field
from msgspec.structs import replace

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.net.exchange import NO_ROUTE
from homeserver.protocol.errors import MethodNotAllowed, Unrecognized

Answer = Callable[[Request], Reply | Awaitable[Reply]]
"""Answers a request; not a coroutine function where there is nothing to wait for.

The parameters of the path are `request.parameters`.
"""

Check = Callable[[Request, str], object]
"""Judges a request by its head and the template of its route (`NO_ROUTE` for none).

Raises `ProtocolError` to refuse it.
"""


class Route(Struct, frozen=True):
    """One method of one path, and what answers it."""

    method: str
    template: str
    """The path, its parameters in braces: `/_matrix/federation/v1/send/{txnId}`."""

    answer: Answer
    admit: Callable[[Request], object] | None = None
    """Judges a request that has a body before the body is read.

    What it returns is `request.admitted`. Raises `ProtocolError` to refuse it.
    """


class Match(Struct, frozen=True):
    """What a path leads to."""

    template: str = NO_ROUTE
    routes: Mapping[bytes, Route] = field(default_factory=dict)
    """The routes of the path, by method."""

    parameters: Mapping[str, bytes] = field(default_factory=dict)
    """The values of the template's parameters, percent-decoded."""

    def route(self, method: bytes) -> Route:
        """The route for a method; raises `Unrecognized` and `MethodNotAllowed`."""
        found = self.routes.get(b"GET" if method == b"HEAD" else method)
        if found is not None:
            return found
        if not self.routes:
            raise Unrecognized("unknown path")
        allowed = sorted(known.decode("ascii") for known in self.routes)
        raise MethodNotAllowed("method not allowed", allowed)


_NO_MATCH = Match()


class _Node:
    """The routes that begin with the same steps."""

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = {}
        self.parameter: _Node | None = None
        self.template = NO_ROUTE
        self.names: list[str] = []
        self.routes: dict[bytes, Route] = {}

    def child(self, step: str) -> "_Node":
        """The node of the next step of a template, made if there is none."""
        if not _is_parameter(step):
            return self.literals.setdefault(step.encode("ascii"), _Node())
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter

    def find(self, steps: list[bytes], values: tuple[bytes, ...] = ()) -> Match | None:
        """The match of the steps that are left, if they lead to a route."""
        if not steps:
            if not self.routes:
                return None
            parameters = dict(zip(self.names, values, strict=True))
            return Match(self.template, self.routes, parameters)
        step, *rest = steps
        literal = self.literals.get(step)
        found = None if literal is None else literal.find(rest, values)
        if found is None and step and self.parameter is not None:
            found = self.parameter.find(rest, (*values, step))
        return found


class Router:
    """A route table."""

    def __init__(
        self, routes: Iterable[Route], check: Check = lambda _, __: None
    ) -> None:
        """`check` judges every request, also one whose path leads nowhere.

        Raises `ValueError` for two routes that no request could tell apart.
        """
        self.routes = list(routes)
        self.check = check
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def admit(self, request: Request, *, has_body: bool) -> Route:
        """The route of a request, by all that its head decides.

        Sets the parameters of the request, and its route in its exchange. Raises
        `ProtocolError` where the table, its check or the route refuses it.
        """
        match = self.find(request.path)
        self.check(request, match.template)
        request.parameters = match.parameters
        request.exchange.route = match.template
        route = match.route(request.method)
        if has_body and route.admit is not None:
            request.admitted = route.admit(request)
        return route

    def find(self, path: bytes) -> Match:
        """What a path as it is on the wire, without its query, leads to."""
        if not path.startswith(b"/"):  # `*`, or the authority of CONNECT
            return _NO_MATCH
        return self._root.find(_steps(path)) or _NO_MATCH

    def wrapped(self, wrap: Callable[[Route], Answer]) -> Self:
        """The same table with other answers; `wrap` makes that of each route."""
        routes = [replace(route, answer=wrap(route)) for route in self.routes]
        return type(self)(routes, self.check)

    def _add(self, route: Route) -> None:
        node = self._root
        steps = [step for step in route.template.split("/") if step]
        for step in steps:
            node = node.child(step)
        method = route.method.encode("ascii")
        if method in node.routes or node.template not in {NO_ROUTE, route.template}:
            raise ValueError(
                f"{route.method} {route.template} and {node.template} are one path"
            )
        node.template = route.template
        node.names = [step[1:-1] for step in steps if _is_parameter(step)]
        node.routes[method] = route


def _is_parameter(step: str) -> bool:
    return step.startswith("{") and step.endswith("}")


def _steps(path: bytes) -> list[bytes]:
    steps = path[1:].split(b"/")
    if steps[-1] == b"":
        del steps[-1]
    return [unquote_to_bytes(step) for step in steps]
