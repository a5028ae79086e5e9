"""The look-up of routes: templates, methods and parameters."""

from collections.abc import Awaitable, Mapping

import pytest

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route, Router
from homeserver.net.exchange import NO_ROUTE
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import Forbidden, MethodNotAllowed, Unrecognized
from tests.support.http_connection import Connection, ask, request, site


def tell(request: Request) -> Reply:
    """Answer with the parameters."""
    told = {name: value.decode("latin-1") for name, value in request.parameters.items()}
    return Reply(encode(told))


TEMPLATES = [
    "/",
    "/a",
    "/a/{x}",
    "/a/b",
    "/a/{x}/c",
    "/a/b/{y}",
    "/a/{x}/c/{y}",
    "/{any}/d",
]

ROUTER = Router(Route("GET", template, tell) for template in TEMPLATES)

FOUND: list[tuple[bytes, str, Mapping[str, bytes]]] = [
    (b"/", "/", {}),
    (b"/a", "/a", {}),
    (b"/a/", "/a", {}),
    (b"/%61", "/a", {}),
    (b"/a/b", "/a/b", {}),
    (b"/a/b/", "/a/b", {}),
    (b"/a/%62", "/a/b", {}),
    (b"/a/B", "/a/{x}", {"x": b"B"}),
    (b"/a/x%2Fy", "/a/{x}", {"x": b"x/y"}),
    (b"/a/%2F", "/a/{x}", {"x": b"/"}),
    (b"/a/%2562", "/a/{x}", {"x": b"%62"}),
    (b"/a/%ff", "/a/{x}", {"x": b"\xff"}),
    (b"/a/%zz", "/a/{x}", {"x": b"%zz"}),
    (b"/a/..", "/a/{x}", {"x": b".."}),
    (b"/a/{x}", "/a/{x}", {"x": b"{x}"}),
    (b"/a/b/c", "/a/b/{y}", {"y": b"c"}),
    (b"/a/z/c", "/a/{x}/c", {"x": b"z"}),
    # From the literal, which leads nowhere, back to the parameter.
    (b"/a/b/c/z", "/a/{x}/c/{y}", {"x": b"b", "y": b"z"}),
    (b"/a/d", "/a/{x}", {"x": b"d"}),
    (b"/z/d", "/{any}/d", {"any": b"z"}),
]


@pytest.mark.parametrize(("path", "template", "parameters"), FOUND)
def test_found(path: bytes, template: str, parameters: Mapping[str, bytes]) -> None:
    """A path leads to its template, with each parameter decoded once."""
    match = ROUTER.find(path)
    assert (match.template, match.parameters) == (template, parameters)
    assert match.route(b"GET").template == template
    assert match.route(b"HEAD") is match.route(b"GET")


UNKNOWN = [
    b"",
    b"a",
    b"*",
    b"us.example:8448",
    b"//",
    b"//a",
    b"/a//",
    b"/a//c",
    b"/A",
    b"/a%2Fb",
    b"/a%2F",
    b"/z",
    b"/a/z/z",
    b"/a/b//",
    b"/a/b/c//",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown(path: bytes) -> None:
    """A path of no template leads nowhere, whatever the method."""
    match = ROUTER.find(path)
    assert (match.template, match.parameters) == (NO_ROUTE, {})
    for method in (b"GET", b"HEAD", b"BREW"):
        with pytest.raises(Unrecognized):
            match.route(method)


def test_method_not_allowed() -> None:
    """A known path with another method says which methods it has, sorted."""
    router = Router(Route(method, "/a/{x}", tell) for method in ("PUT", "DELETE"))
    for method in (b"GET", b"HEAD", b"put", b"POST"):
        with pytest.raises(MethodNotAllowed) as caught:
            router.find(b"/a/1").route(method)
        assert caught.value.allowed == ["DELETE", "PUT"]


SAME: list[list[tuple[str, str]]] = [
    [("GET", "/a"), ("GET", "/a")],
    [("GET", "/a"), ("GET", "/a/")],
    [("GET", "/a/{x}"), ("GET", "/a/{y}")],
    [("GET", "/a/{x}"), ("PUT", "/a/{y}")],
]


@pytest.mark.parametrize("routes", SAME)
def test_routes_that_are_one(routes: list[tuple[str, str]]) -> None:
    """Two routes that no request could tell apart are a mistake of the table."""
    with pytest.raises(ValueError, match="are one path"):
        Router(Route(method, template, tell) for method, template in routes)


def test_parameters_of_a_request() -> None:
    """An answer reads the parameters of its request, and not those of another."""
    connection = Connection(site(ROUTER))
    connection.send(request("GET", "/a/x%20y/c?x=z"), request("GET", "/a"))
    first, second = connection.answers()
    assert (first.json, second.json) == ({"x": "x y"}, {})


def test_parameters_are_there_before_the_body() -> None:
    """A request with a body is admitted by the head of its own route."""
    admitted: list[Mapping[str, bytes]] = []

    def admit(request: Request) -> None:
        admitted.append(request.parameters)
        raise Forbidden("not today")

    router = Router([Route("PUT", "/a/{x}", tell, admit), Route("PUT", "/b/{x}", tell)])
    connection = Connection(site(router))
    connection.send(request("PUT", "/a/1", ["Content-Length: 9"]))
    [answer] = connection.answers()
    assert answer.error == (403, "M_FORBIDDEN")
    assert admitted == [{"x": b"1"}]
    assert ask(site(router), "PUT", "/b/1", body=b"{}").json == {"x": "1"}


def test_check_sees_every_request() -> None:
    """The check of a table judges known and unknown paths, with and without a body."""
    seen: list[str] = []

    def check(_: Request, template: str) -> None:
        seen.append(template)
        raise Forbidden("not today")

    root = site(Router([Route("GET", "/a/{x}", tell)], check))
    for method, path, body in [
        ("GET", "/a/1", None),
        ("PUT", "/a/1", b"x"),
        ("GET", "/b", None),
        ("PUT", "/b", b"x"),
    ]:
        assert ask(root, method, path, body=body).error == (403, "M_FORBIDDEN")
    assert seen == ["/a/{x}", "/a/{x}", NO_ROUTE, NO_ROUTE]


def test_wrapped() -> None:
    """Wrapped routes answer through the wrapper, and are admitted as before."""
    asked: list[str] = []

    def admit(_: Request) -> None:
        asked.append("admitted")

    def check(_: Request, template: str) -> None:
        asked.append("checked")

    def wrap(route: Route) -> Answer:
        def answer(request: Request) -> Reply | Awaitable[Reply]:
            asked.append(f"{route.method} {route.template}")
            return route.answer(request)

        return answer

    plain = Router([Route("PUT", "/a/{x}", tell, admit)], check)
    wrapped = plain.wrapped(wrap)
    assert ask(site(wrapped), "PUT", "/a/1", body=b"{}").json == {"x": "1"}
    assert asked == ["checked", "admitted", "PUT /a/{x}"]
    asked.clear()
    assert ask(site(plain), "PUT", "/a/1", body=b"{}").json == {"x": "1"}
    assert asked == ["checked", "admitted"]
