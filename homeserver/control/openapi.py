"""The control API's description of itself, as an OpenAPI document.

Rules: everything in it comes from the routes and their types, so it cannot differ from
what the routes do.

Specification: OpenAPI 3.1.0.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from http import HTTPStatus

import msgspec
from msgspec import Struct, inspect

from homeserver import __version__
from homeserver.control.parameters import bare_type, fields_of
from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Error, Nothing
from homeserver.http.reply import Reply
from homeserver.http.router import Route
from homeserver.protocol.canonical_json import Json

PATH = "/v1/openapi.json"

# What the parameters of all paths mean.
_PARAMETERS: dict[str, tuple[str, str]] = {
    "destination": ("string", "The server name of the destination."),
    "id": ("integer", "The ID of the entry."),
    "name": ("string", "A server name."),
    "room_id": (
        "string",
        "The ID of a room, percent-encoded; to join, knock and leave, or its alias.",
    ),
    "event_id": ("string", "The ID of an event, percent-encoded."),
    "user_id": ("string", "The ID of a user, percent-encoded."),
    "media_id": ("string", "The ID of media."),
    "server": ("string", "The name of one of the daemon's own servers."),
}

# Those that any route may answer with.
_COMMON = {
    400: "A parameter or the body is not as described here.",
    401: "The token is missing, or is another server's.",
    403: "The request has a foreign `Host` or `Origin`.",
    503: "The store does not answer.",
}


def described(
    routes: Sequence[ControlRoute], open_templates: Collection[str]
) -> list[Route]:
    """The routes for the router, and one that describes them all.

    `open_templates` are the routes that need no token.
    """

    def describe(_: Call[Nothing, Nothing]) -> Struct | Reply:
        """The description of this API in OpenAPI 3.1."""
        return Reply(document())

    own = route("GET", PATH, describe)
    everything = [*routes, own]

    @cache
    def document() -> bytes:
        # On the first request: a start has no time for it.
        return msgspec.json.encode(build_document(everything, open_templates))

    return [each.plain() for each in everything]


def build_document(
    routes: Sequence[ControlRoute], open_templates: Collection[str] = ()
) -> Json:
    """The OpenAPI document of the routes."""
    kinds = {
        kind
        for each in routes
        for kind in (each.body, each.returns, *each.instead.values(), Error)
    }
    named = sorted(_views(kinds), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(
        named, schema_hook=_any, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Json] = {}
    for each in routes:
        operation = _operation(each, is_open=each.template in open_templates)
        paths.setdefault(each.template, {})[each.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The control API of homeserver",
            "version": __version__,
            "description": "Every request needs `Authorization: Bearer TOKEN`, where "
            "it is not marked otherwise. Unknown parameters and members are refused.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _any(_: type) -> Json:
    """The schema of a type that may be any JSON."""
    return {"description": "Any JSON."}  # an empty schema counts as none


def _views(kinds: Collection[type[Struct] | None]) -> Iterator[type[Struct]]:
    return (each for each in kinds if each not in {None, Struct} and each is not None)


def _operation(each: ControlRoute, *, is_open: bool) -> Json:
    errors = {error.status: _first_line(error) for error in each.errors}
    responses: dict[str, Json] = {str(each.status): _answer(each)}
    for status, meaning in sorted((_COMMON | errors).items()):
        if not (is_open and status in {401, 503}):
            responses[str(status)] = _response(meaning, _schema(Error))
    for status, kind in each.instead.items():
        responses[str(status)] = _response(_first_line(kind), _schema(kind))
    operation: Json = {
        "operationId": _operation_id(each),
        "summary": each.summary,
        "parameters": [
            *_path_parameters(each.template),
            *_query_parameters(each.query),
        ],
        "responses": responses,
    }
    if each.body is not Nothing:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _schema(each.body)}},
        }
    if is_open:
        operation["security"] = []
    return operation


def _operation_id(each: ControlRoute) -> str:
    """As in `get_v1_peers_name`."""
    return each.method.lower() + re.sub(r"[^a-z0-9]+", "_", each.template).rstrip("_")


def _answer(each: ControlRoute) -> Json:
    meaning = HTTPStatus(each.status).phrase
    if each.returns is None:
        content: Json = {"text/plain": {"schema": {"type": "string"}}}
        return {"description": meaning, "content": content}
    any_object: Json = {"type": "object"}
    is_open = each.returns is Struct
    return _response(meaning, any_object if is_open else _schema(each.returns))


def _response(meaning: str, schema: Json) -> Json:
    content = {"application/json": {"schema": schema}}
    return {"description": meaning, "content": content}


def _schema(kind: type[Struct]) -> Json:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _first_line(kind: type[Exception | Struct]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _path_parameters(template: str) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", template):
        kind, meaning = _PARAMETERS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": meaning,
            "schema": {"type": kind},
        }


def _query_parameters(query: type[Struct]) -> Iterator[Json]:
    for field in fields_of(query):
        schema = _parameter_schema(bare_type(field.type))
        if field.default is not None:
            schema["default"] = field.default
        yield {
            "name": field.name,
            "in": "query",
            "description": _description(field.type),
            "schema": schema,
        }


def _description(kind: inspect.Type) -> str:
    extra = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((extra or {}).get("description", ""))


def _parameter_schema(kind: inspect.Type) -> Json:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            is_whole = isinstance(kind, inspect.IntType)
            schema: Json = {"type": "integer" if is_whole else "number"}
            bounds = {"minimum": kind.ge, "maximum": kind.le}
            return schema | {k: v for k, v in bounds.items() if v is not None}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
        case _:
            return {"type": "string"}
