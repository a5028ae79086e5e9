"""Answers that code gives in place of a server of the lab.

Rules: they are for one server and the templates that they name. Rules of that server
act on them as on any other answer.
"""

from collections.abc import Awaitable, Mapping

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route


class Answers:
    """The answers that are given by code, by the name of the server."""

    def __init__(self) -> None:
        self._answers: dict[str, Mapping[str, Answer]] = {}

    def set(self, server: str, answers: Mapping[str, Answer]) -> None:
        """Let code answer for a server from now on, by the templates of routes."""
        self._answers[server] = answers

    def wrap(self, route: Route) -> Answer:
        """The answer of a route, or that of code."""

        def answer(request: Request) -> "Reply | Awaitable[Reply]":
            answers = self._answers.get(request.exchange.server)
            found = None if answers is None else answers.get(route.template)
            return route.answer(request) if found is None else found(request)

        return answer
