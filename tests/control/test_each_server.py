"""Routes of one server, asked of each of several."""

from collections.abc import Sequence

import pytest
from openapi_spec_validator import validate
from twisted.internet.task import Clock

from homeserver.control.each_server import routes_of_each
from homeserver.control.openapi import build_document
from homeserver.control.own_servers import OwnServerView, own_server_routes
from homeserver.control.parameters import OfServer, Page
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing, Queued
from homeserver.http.router import Router
from homeserver.protocol.canonical_json import as_list, as_object
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import ServerName
from tests.support.http_connection import Answer, ask, site

A, B = map(ServerName.parse, ["a.test", "b.test"])


NO_SERVER = (
    "there is no server here; POST /v1/servers makes one, and "
    "`homeserver servers --make`"
)


class Servers:
    """Servers that answer with how often they were asked, and how."""

    def __init__(self, *names: ServerName) -> None:
        self.names = list(names)
        self.asked: list[tuple[ServerName, str, int]] = []

    def build(self, name: ServerName) -> Sequence[ControlRoute]:
        """The routes of one."""

        def show(call: Call[Page, Nothing]) -> Queued:
            """Show something."""
            return self._note(name, "show", call.query.limit)

        async def drop(call: Call[Nothing, Nothing]) -> Queued:
            """Drop something."""
            if call.entry_id() == 404:
                raise NotFound("it is not there")
            return self._note(name, "drop", call.entry_id())

        return [
            route("GET", "/v1/things", show),
            route("DELETE", "/v1/things/{id}", drop),
        ]

    def _note(self, name: ServerName, what: str, number: int) -> Queued:
        self.asked.append((name, what, number))
        return Queued(len(self.asked))

    def ask(self, method: str, target: str) -> Answer:
        """The answer to a request."""
        pattern = Servers().build(ServerName.parse("name.invalid"))
        table = routes_of_each(self.build, self.names, pattern)
        table += own_server_routes(self.names, _describe)
        router = Router([each.plain() for each in table])
        return ask(site(router, clock=Clock()), method, target)


def _describe(name: ServerName) -> OwnServerView:
    return OwnServerView(name.name, "ed25519:1", "key", None, "sha256")


@pytest.mark.parametrize(
    ("method", "target", "asked"),
    [
        ("GET", "/v1/things", (A, "show", 100)),
        ("GET", "/v1/things?limit=5", (A, "show", 5)),
        ("GET", "/v1/things?server=b.test", (B, "show", 100)),
        ("GET", "/v1/things?limit=5&server=b.test", (B, "show", 5)),
        ("GET", "/v1/servers/b.test/things", (B, "show", 100)),
        ("GET", "/v1/servers/b.test/things?limit=5", (B, "show", 5)),
        ("DELETE", "/v1/things/7", (A, "drop", 7)),
        ("DELETE", "/v1/things/7?server=b.test", (B, "drop", 7)),
        ("DELETE", "/v1/servers/b.test/things/7", (B, "drop", 7)),
    ],
)
def test_which_server(
    method: str, target: str, asked: tuple[ServerName, str, int]
) -> None:
    """A route is asked of the server that is named, and else of the first."""
    servers = Servers(A, B)
    assert servers.ask(method, target).status == 200
    assert servers.asked == [asked]


@pytest.mark.parametrize(
    ("names", "target", "why"),
    [
        (
            [A, B],
            "/v1/things?server=c.test",
            "'c.test' is not a server here; there is a.test, b.test",
        ),
        (
            [A],
            "/v1/servers/c.test/things",
            "'c.test' is not a server here; there is a.test",
        ),
        (
            [],
            "/v1/things",
            NO_SERVER,
        ),
        (
            [A],
            "/v1/servers/c.test",
            "'c.test' is not a server here; there is a.test",
        ),
    ],
)
def test_unknown_server(names: list[ServerName], target: str, why: str) -> None:
    """A server that is not there is an error that names those that are."""
    servers = Servers(*names)
    answer = servers.ask("GET", target)
    assert (answer.status, answer.json["error"]) == (404, why)
    assert servers.asked == []


def test_an_error_of_the_route() -> None:
    """An error of the route is answered as without several servers."""
    answer = Servers(A).ask("DELETE", "/v1/servers/a.test/things/404")
    assert (answer.status, answer.json["error"]) == (404, "it is not there")


def test_servers_by_the_path_take_no_other() -> None:
    """What the path says is not said in the query."""
    answer = Servers(A, B).ask("GET", "/v1/servers/a.test/things?server=b.test")
    assert answer.status == 400


def test_a_parameter_of_that_name() -> None:
    """A route with a parameter `server` of another meaning cannot be one of these."""

    def show(_: Call[OfServer, Nothing]) -> Nothing:
        return Nothing()

    table = [route("GET", "/v1/x", show)]
    with pytest.raises(ValueError, match="OfServer has a parameter `server` already"):
        routes_of_each(lambda _: table, [A], table)


def test_list() -> None:
    """The servers are listed in their order, in pages."""
    servers = Servers(*(ServerName.parse(f"{n}.test") for n in "bac"))
    answer = servers.ask("GET", "/v1/servers?limit=2")
    listed = answer.json["servers"]
    assert isinstance(listed, list)
    assert [each["server_name"] for each in listed] == ["b.test", "a.test"]
    assert answer.json["next"] == "a.test"
    answer = servers.ask("GET", "/v1/servers?after=a.test")
    assert answer.json == {
        "servers": [
            {
                "server_name": "c.test",
                "key_id": "ed25519:1",
                "verify_key": "key",
                "listen": None,
                "certificate_sha256": "sha256",
            }
        ],
        "next": None,
    }
    assert servers.ask("GET", "/v1/servers/a.test").json["server_name"] == "a.test"
    assert servers.ask("POST", "/v1/servers").status == 405
    assert servers.ask("DELETE", "/v1/servers/a.test").status == 405


def test_description() -> None:
    """All of it is described, and each route says what it takes."""
    table = routes_of_each(
        Servers(A).build, [A], Servers().build(ServerName.parse("name.invalid"))
    )
    document = build_document([*table, *own_server_routes([A], _describe)])
    validate(document)
    paths = as_object(document["paths"], "paths")
    assert paths.keys() == {
        "/v1/things",
        "/v1/things/{id}",
        "/v1/servers/{server}/things",
        "/v1/servers/{server}/things/{id}",
        "/v1/servers",
        "/v1/servers/{server}",
    }
    shown = as_object(as_object(paths["/v1/things"], "path")["get"], "operation")
    assert shown["summary"] == "Show something."
    parameters = as_list(shown["parameters"], "parameters")
    assert [as_object(each, "one")["name"] for each in parameters] == [
        "after",
        "origin",
        "limit",
        "wait",
        "server",
    ]
