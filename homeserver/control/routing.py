"""Typed routes: what a request of the control API may have, and what it gets.

Rules: the query parameters, the body and the answer of a route are structs: the types
of the function that answers it. A request is read by them, and nothing else is
accepted: an unknown parameter or member is an error that names the known ones.
`openapi` describes the API from the same types.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import getdoc
from typing import Any, Generic, TypeVar, get_args

import msgspec
from msgspec import Struct

from homeserver.control.parameters import integer, read_query
from homeserver.control.views import Nothing
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.shapes import read

Q = TypeVar("Q", bound=Struct)
B = TypeVar("B", bound=Struct)


class Call(Struct, Generic[Q, B], frozen=True):
    """A request, read."""

    path: bytes
    """As it is on the wire."""

    parameters: Mapping[str, bytes]
    """Of the path, percent-decoded."""

    query: Q
    body: B

    def server(self, name: str) -> ServerName:
        """A server's name in the path."""
        return ServerName.parse(self.parameters[name].decode("utf-8", "replace"))

    def entry_id(self) -> int:
        """The `{id}` in the path."""
        return integer("the ID", self.parameters["id"])


class ControlRoute(Struct, frozen=True):
    """One route: what it accepts, what it answers, and what answers it."""

    method: str
    template: str
    answer: Callable[[Call[Any, Any]], object]
    """Returns the view, a `Reply`, or an awaitable of one of them."""

    query: type[Struct]
    body: type[Struct]
    returns: type[Struct] | None
    """None for plain text."""

    status: int
    """Of an answer."""

    errors: Sequence[type[ProtocolError]]
    """Those of this route, besides those of all routes."""

    instead: Mapping[int, type[Struct]] = {}
    """What some statuses answer with in place of an error."""

    @property
    def summary(self) -> str:
        """What the route does, in a sentence: the first line of its docstring."""
        return (getdoc(self.answer) or "").partition("\n")[0]

    def plain(self) -> Route:
        """The route for the router."""
        return Route(self.method, self.template, self._answer)

    async def _answer(self, request: Request) -> Reply:
        content = b"" if request.content is None else request.content.read()
        call = Call(
            request.path,
            request.parameters,
            read_query(self.query, request.uri),
            _read_body(self.body, content),
        )
        answered = self.answer(call)
        if isinstance(answered, Awaitable):
            answered = await answered
        if isinstance(answered, Reply):
            return answered
        return view_reply(answered, self.status)


def route(
    method: str,
    template: str,
    answer: Callable[[Call[Any, Any]], object],
    *,
    status: int = 200,
    errors: Sequence[type[ProtocolError]] = (),
    instead: Mapping[int, type[Struct]] = {},
) -> ControlRoute:
    """A line of the route table; its columns are those of `ControlRoute`.

    What a request has and gets is in the types of `answer`: it takes a `Call` with a
    query and a body, and returns a view; `Struct` is a view of any members. If it
    returns a `Reply` alone, that is text.
    """
    call, returned = answer.__annotations__.values()
    query, body = get_args(call)
    views = [each for each in get_args(returned) or [returned] if each is not Reply]
    returns = views[0] if views else None
    return ControlRoute(
        method, template, answer, query, body, returns, status, errors, instead
    )


def view_reply(view: object, status: int = 200) -> Reply:
    """A view as a reply."""
    return Reply(msgspec.json.encode(view), status)


def _read_body(kind: type[B], content: bytes) -> B:
    """The body as a struct; raises `ProtocolError` for any other one."""
    if kind is Nothing and not content.strip():
        return kind()
    return read(kind, parse_object(content))
