"""The page about the control API, made of its own description and of real answers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from homeserver.control.openapi import build_document
from homeserver.control.routes import OPEN_TEMPLATES
from homeserver.inbound import refusals
from homeserver.outbound.transport.failures import REASONS
from homeserver.protocol import remarks
from homeserver.protocol.diagnosis import hint
from tests.support.api_examples import Example, Examples, collect
from tests.support.control_side import Panel
from tests.support.lab_routes import lab_table

PAGE = Path(__file__).parent.parent / "docs" / "api.md"

_HEAD = """\
# The control API

It listens at `[control] listen`, `127.0.0.1:8008` by default, and takes and gives JSON.
Each request needs the token, but where a route says otherwise:

    curl -H "Authorization: Bearer $(cat control.token)" http://127.0.0.1:8008/v1/peers

The `Host` of a request is an address, `localhost` or a name of `[control] hosts`; its
`Origin`, if it has one, is `http://` and this `Host`. Unknown query parameters and
unknown members of bodies are refused. Errors are `{"errcode", "error"}`, as those of
Matrix; any route may answer with 400, 401, 403 and 503. Times in `_ts` are milliseconds
since 1970.

A daemon may have several servers. The routes about rooms, users, media, sending,
received and refused requests, peers and look-ups take `server=NAME` as a query
parameter, the name of the server that is meant; it is the first one by default. Each is
also there with the name in its path, as in `GET /v1/servers/NAME/received`. `GET
/v1/servers` lists the servers, in pages by `after` and `limit`, as `{"servers": [...],
"next"}`, and `GET /v1/servers/NAME` shows one: `{"server_name", "key_id", "verify_key",
"listen", "certificate_sha256"}`. A name that is none of them is a 404 that says which
there are.

`GET /v1/openapi.json` has all of this as an OpenAPI document, and the examples here are
real answers. This page is made by `scripts/api_page`; change the code, not the page.
"""

_LAB = """
# The routes of a lab

`homeserver lab` has these beside those above; [testing.md](testing.md) says what they
are for. In a daemon, `POST /v1/servers`, `PATCH` and `DELETE` are 405: its servers are
those of its configuration. With `[lab] rules = true` a daemon has the other ones, too,
but `/v1/lab` and `/v1/ca/certificates`; without, they are 403.
"""

_REASONS = """
## Reasons

The `reason` of a refused request, in `/v1/refused` and the log:
"""

_OUTBOUND = """
Why a request of ours got no answer, in the log and the metrics:
"""

_HINTS = """
What a server has to change, in the `hints` of a refused request and of an exchange:
"""

_REMARKS = """
What was accepted and should change all the same, in the `remarks` of a received
transaction, of a delivery and of an exchange:
"""

_MAX_LINE = 88  # of an example, before it is spread over several


def build_page() -> str:
    """The whole page."""
    document: dict[str, Any] = build_document(Panel().table, OPEN_TEMPLATES)
    lab: dict[str, Any] = build_document(lab_table())
    parts = [_HEAD, *_routes(document, collect()), _LAB, *_routes(lab, {})]
    parts += ["\n## Objects\n", *map(_view, _sorted(document, lab))]
    parts += [_REASONS, _codes(refusals.REASONS), _OUTBOUND, _codes(REASONS)]
    parts += [_HINTS, _codes(hint.CODES), _REMARKS, _codes(remarks.REMARKS)]
    return "".join(parts)


def _sorted(*documents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The schemas of all documents, each once."""
    schemas: dict[str, dict[str, Any]] = {}
    for document in documents:
        schemas |= document["components"]["schemas"]
    return [schemas[name] for name in sorted(schemas)]


def _routes(document: Mapping[str, Any], examples: Examples) -> Iterator[str]:
    for template, methods in document["paths"].items():
        for name, operation in methods.items():
            method = name.upper()
            yield f"\n## `{method} {template}`\n\n{operation['summary']}"
            yield " It needs no token.\n" if "security" in operation else "\n"
            yield from _parameters(operation["parameters"])
            body = operation.get("requestBody", {"content": {}})["content"]
            for content in body.values():
                yield f"\nThe body is {_article(_type(content['schema']))}.\n"
            yield from _answers(operation["responses"])
            if (method, template) in examples:
                yield _example(method, examples[method, template])


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if parameters:
        yield "\n| parameter | type | default | what it says |\n|---|---|---|---|\n"
    for each in parameters:
        schema = each["schema"]
        kind = _type(schema)
        if "maximum" in schema:
            kind += f", at most {schema['maximum']:g}"
        default = json.dumps(schema["default"]) if "default" in schema else "-"
        place = " (path)" if each["in"] == "path" else ""
        yield f"| `{each['name']}`{place} | {kind} | {default} | "
        yield f"{each['description']} |\n"


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        for kind, content in response["content"].items():
            if status.startswith("2"):
                shown = "text" if kind == "text/plain" else _type(content["schema"])
                yield f"\nIt answers {status} with {_article(shown)}"
    errors = [status for status in responses if status in {"404", "408", "413"}]
    yield f", or with {' or '.join(errors)}.\n" if errors else ".\n"


def _article(kind: str) -> str:
    """A type as the object of a sentence."""
    return "any JSON object" if kind == "object" else kind


def _example(method: str, example: Example) -> str:
    sent = f"{method} {example.target}"
    if example.body is not None:
        sent += f"\n{json.dumps(example.body)}"
    answer = example.answer
    return f"\n```\n{sent}\n\n{answer.status}\n{_spread(answer.json)}\n```\n"


def _spread(value: object, indent: str = "") -> str:
    """JSON on one line if it is short, else with a member or an item a line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _MAX_LINE or not isinstance(value, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {_spread(v, deeper)}" for k, v in value.items()]
    else:
        items = [_spread(each, deeper) for each in value]
    joined = f",\n{deeper}".join(items)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}{joined}\n{indent}{closing}"


def _view(schema: Mapping[str, Any]) -> str:
    lines = [f"\n### {schema['title']}\n\n{schema['description']}\n"]
    if schema["properties"]:
        lines.append("\n| member | type | what it says |\n|---|---|---|\n")
    optional = schema["properties"].keys() - set(schema["required"])
    for name, each in schema["properties"].items():
        about = each.get("description", "-")
        may = " (may be missing)" if name in optional else ""
        lines.append(f"| `{name}`{may} | {_type(each)} | {about} |\n")
    return "".join(lines)


def _type(schema: Mapping[str, Any]) -> str:
    """A schema's type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema["items"]]  # a tuple, or a list
        return f"list of {', '.join(map(_type, items))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any JSON"))


def _codes(reasons: Mapping[Any, str]) -> str:
    rows = [f"| `{code}` | {meaning} |\n" for code, meaning in reasons.items()]
    return "\n| code | what it means |\n|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(build_page(), "utf-8")
    print(PAGE)
