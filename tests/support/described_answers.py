"""Answers of the control API, each checked against the API's own description."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from homeserver.control.openapi import build_document
from homeserver.control.page.routes import OPEN_TEMPLATES
from homeserver.control.routing import ControlRoute
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route

_DOCUMENTS: dict[tuple[object, ...], Any] = {}


class DescribedAnswers:
    """The schemas of the answers of some routes."""

    def __init__(self, routes: Sequence[ControlRoute]) -> None:
        # Nearly all tests have the same routes, and describing them takes a while.
        types = (
            (each.method, each.template, each.body, each.returns, each.status)
            for each in routes
        )
        key = tuple(types)
        if key not in _DOCUMENTS:
            _DOCUMENTS[key] = _closed(build_document(routes))
        self._document = _DOCUMENTS[key]
        self._open = {"/v1/openapi.json", "/metrics", *OPEN_TEMPLATES}

    def wrap(self, route: Route) -> Answer:
        """The answer of a route, which fails where it is not as described."""

        async def answer(request: Request) -> Reply:
            reply = route.answer(request)
            if not isinstance(reply, Reply):
                reply = await reply
            self.check(route, reply)
            return reply

        return answer

    def check(self, route: Route, reply: Reply) -> None:
        """Fail if a reply is not as described."""
        if route.template in self._open:
            return
        operation = self._document["paths"][route.template][route.method.lower()]
        response = operation["responses"][str(reply.status)]
        schema = response["content"]["application/json"]["schema"]
        whole = {**schema, "components": self._document["components"]}
        Draft202012Validator(whole).validate(msgspec.json.decode(reply.body))


def _closed(value: Any) -> Any:
    """A schema in which no object has other members than those described."""
    if isinstance(value, list):
        return [_closed(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    closed = {key: _closed(each) for key, each in value.items()}
    if value.get("type") == "object" and "properties" in value:
        closed.setdefault("additionalProperties", False)
    return closed
