"""The control API's description of itself."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from homeserver.control.openapi import PATH, build_document
from homeserver.control.page import routes as page
from homeserver.control.routes import OPEN_TEMPLATES
from homeserver.control.routing import ControlRoute
from tests.support.control_side import AUTHORIZATION, HOST, Panel
from tests.support.http_connection import ask


def document() -> dict[str, Any]:
    """The description, as it is served."""
    return cast("dict[str, Any]", Panel().ask("GET", PATH).json)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each path, method and operation."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_valid() -> None:
    """The description is a valid OpenAPI document."""
    OpenAPIV31SpecValidator(document()).validate()


def test_needs_the_token() -> None:
    """The description is behind the token."""
    assert ask(Panel().site, "GET", PATH, [HOST]).status == 401


def test_every_route_is_in_it() -> None:
    """Each route of the router but those of the page is described, and no other."""
    routes = {
        (each.template, each.method)
        for each in Panel().site.router.routes
        if each.template not in page.OPEN_TEMPLATES
    }
    found = {(path, method.upper()) for path, method, _ in operations()}
    assert found == routes


def test_every_operation_is_told() -> None:
    """Each operation and each parameter has a sentence, each answer a schema."""
    ids = set()
    for path, _, operation in operations():
        assert re.fullmatch(r"[A-Z].*\.", operation["summary"])
        ids.add(operation["operationId"])
        for parameter in operation["parameters"]:
            assert re.fullmatch(r"[A-Z].*\.", parameter["description"])
        for status, response in operation["responses"].items():
            [content] = response["content"].values()
            is_error = status[0] in "45" and path not in OPEN_TEMPLATES
            error = {"$ref": "#/components/schemas/Error"}
            assert content["schema"] == error if is_error else content["schema"]
    assert len(ids) == len(list(operations()))


def test_open_routes() -> None:
    """What needs no token says so, and nothing else does."""
    without = {path for path, _, each in operations() if each.get("security") == []}
    assert without == OPEN_TEMPLATES


def test_parameters() -> None:
    """A query parameter has its type, its bounds and its default."""
    found = {
        each["name"]: each["schema"]
        for each in document()["paths"]["/v1/received"]["get"]["parameters"]
    }
    assert found == {
        "after": {"type": "integer", "minimum": 0, "default": 0},
        "origin": {"type": "string"},
        "limit": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 100},
        "wait": {"type": "number", "minimum": 0, "maximum": 60.0, "default": 0.0},
    }
    keys = document()["paths"]["/v1/keys/{name}"]["get"]["parameters"]
    assert [each["in"] for each in keys] == ["path", "query"]
    assert keys[1]["schema"] == {"type": "boolean", "default": False}


def test_bodies() -> None:
    """A body refuses unknown members, and says which are required."""
    schemas = document()["components"]["schemas"]
    assert schemas["Submission"]["additionalProperties"] is False
    assert schemas["Pin"]["required"] == ["certificate_sha256"]
    post = document()["paths"]["/v1/send/{destination}"]["post"]
    content = post["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Submission"}
    errors = {"400", "401", "403", "404", "413", "503"}
    assert post["responses"].keys() == {"202"} | errors


def _route(panel: Panel, template: str) -> ControlRoute:
    [found] = [each for each in panel.table if each.template == template]
    return found


def test_made_from_the_routes() -> None:
    """A table of one route is described as one path."""
    bounds = _route(Panel(), "/v1/bounds")
    paths = cast("dict[str, Any]", build_document([bounds])["paths"])
    assert list(paths) == ["/v1/bounds"]


UNKNOWN_QUERIES: list[tuple[str, str, str]] = [
    ("/v1/received", "orgin=a.org", "known are after, limit, origin, wait; did you me"),
    ("/v1/received", "&".join(["after=0"] * 51), "more than 50 parameters"),
    ("/v1/received", "after=0&x", "no query parameter 'x' here; known are after"),
    ("/v1/bounds", "after=0", "no query parameter 'after' here; known are worker"),
    ("/health", "verbose=1", "no query parameter 'verbose' here; known are none"),
    ("/v1/peers/them.example", "%ff=1", "no query parameter"),
]


@pytest.mark.parametrize(("path", "query", "reason"), UNKNOWN_QUERIES)
def test_unknown_parameter(path: str, query: str, reason: str) -> None:
    """An unknown query parameter is refused, and the known ones are named."""
    answer = Panel().ask("GET", f"{path}?{query}")
    assert answer.error == (400, "M_INVALID_PARAM")
    assert reason in str(answer.json["error"])


BODIES: list[tuple[str, str, bytes, int, str]] = [
    ("POST", "/v1/peers/them.example/retry", b'{"now":true}', 400, "no member 'now'"),
    ("POST", "/v1/peers/them.example/retry", b"[]", 400, "not a JSON object"),
    ("POST", "/v1/peers/them.example/retry", b"{}", 404, "nothing is known"),
    ("POST", "/v1/peers/them.example/retry", b"", 404, "nothing is known"),
    ("DELETE", "/v1/peers/them.example/pin", b'{"x":1}', 400, "no member 'x'"),
    ("GET", "/v1/received", b'{"after":1}', 400, "no member 'after'"),
    (
        "PUT",
        "/v1/peers/them.example/pin",
        b'{"certificate-sha256":""}',
        400,
        "known are certificate_sha256; did you mean 'certificate_sha256'?",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "reason"), BODIES)
def test_body(method: str, path: str, body: bytes, status: int, reason: str) -> None:
    """What a route does not read is refused in its body, by its name."""
    panel = Panel()
    headers = [HOST, AUTHORIZATION]
    answer = ask(panel.site, method, path, headers, body)
    assert answer.status == status
    assert reason in str(answer.json["error"])
