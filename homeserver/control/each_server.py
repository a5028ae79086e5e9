"""The routes of one of our servers, for each of them.

Rules: a route that concerns one server is there twice: `/v1/received` is asked of the
server that `?server=` names, and `/v1/servers/{server}/received` of the one in the
path. Both are the same otherwise. Without `?server=`, a route that can answer for all
servers together does so where there is not exactly one; any other route is asked of the
first server.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from homeserver.control.parameters import fields_of
from homeserver.control.routing import Call, ControlRoute
from homeserver.protocol.errors import NotFound, listed, quote
from homeserver.protocol.identifiers import ServerName

Build = Callable[[ServerName], Sequence[ControlRoute]]
"""The routes of one server; those of another one differ in their answers alone."""

OverAll = Callable[[Call[Any, Any]], object]
"""The answer of a route for all servers together."""

_OURS = Annotated[
    ServerName | None,
    Meta(description="Which of the daemon's servers is meant; the first by default."),
]
_OURS_OR_ALL = Annotated[
    ServerName | None,
    Meta(description="Which of the daemon's servers is meant; all by default."),
]


def routes_of_each(
    build: Build,
    names: Collection[ServerName],
    pattern: Sequence[ControlRoute],
    over_all: Mapping[tuple[str, str], OverAll] = MappingProxyType({}),
) -> list[ControlRoute]:
    """The routes of every server in `names`, which may change, in their order.

    `pattern` is what `build` makes; only its methods, templates and types count.
    `over_all` answers for all servers, by the method and the template of a route.
    """
    found = []
    for number, each in enumerate(pattern):
        together = over_all.get((each.method, each.template))
        choice = _Choice(build, names, number, together)
        errors = (*each.errors, NotFound)
        found += [
            replace(
                each,
                answer=choice.by_query(each),
                query=_with_server(each.query, _OURS_OR_ALL if together else _OURS),
                errors=errors,
            ),
            replace(
                each,
                template=f"/v1/servers/{{server}}{each.template.removeprefix('/v1')}",
                answer=choice.by_path(each),
                errors=errors,
            ),
        ]
    return found


def check_ours(name: ServerName, names: Collection[ServerName]) -> ServerName:
    """One of our names; `NotFound` for another one, which says which there are."""
    if name not in names:
        raise NotFound(
            f"{quote(name.name)} is not a server here; there is "
            f"{listed(map(str, names))}"
        )
    return name


class _Choice:
    """One route, asked of the server that is meant."""

    def __init__(
        self,
        build: Build,
        names: Collection[ServerName],
        number: int,
        over_all: OverAll | None,
    ) -> None:
        self._build = build
        self._names = names
        self._number = number
        self._over_all = over_all

    def by_query(self, pattern: ControlRoute) -> Callable[[Call[Any, Any]], object]:
        """The answer of the server that the query names."""

        @wraps(pattern.answer)
        def answer(call: Call[Any, Any]) -> object:
            name = call.query.server
            if name is None and len(self._names) != 1 and self._over_all is not None:
                return self._over_all(call)
            name = name or next(iter(self._names), None)
            if name is None:
                raise NotFound(
                    "there is no server here; POST /v1/servers makes one, and "
                    "`homeserver servers --make`"
                )
            return self._ask(check_ours(name, self._names), call)

        return answer

    def by_path(self, pattern: ControlRoute) -> Callable[[Call[Any, Any]], object]:
        """The answer of the server that the path names."""

        @wraps(pattern.answer)
        def answer(call: Call[Any, Any]) -> object:
            return self._ask(check_ours(call.server("server"), self._names), call)

        return answer

    def _ask(self, name: ServerName, call: Call[Any, Any]) -> object:
        return self._build(name)[self._number].answer(call)


def _with_server(kind: type[Struct], ours: object) -> type[Struct]:
    """The same query parameters and `server`."""
    if any(field.name == "server" for field in fields_of(kind)):
        raise ValueError(f"{kind.__name__} has a parameter `server` already")
    return msgspec.defstruct(
        f"{kind.__name__}OfOurs",
        [("server", ours, None)],
        bases=(kind,),
        frozen=True,
    )
