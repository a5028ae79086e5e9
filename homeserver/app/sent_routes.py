"""The routes of requests to other servers, named by the templates of the specification.

Rules: only the path of a request is looked at; nothing is served here.
"""

from typing import NoReturn

from homeserver.http.router import Route, Router
from homeserver.protocol.federation_paths import TEMPLATES


class SentRoutes:
    """Finds the template of a path."""

    def __init__(self) -> None:
        self._router = Router([Route("GET", each, _no_answer) for each in TEMPLATES])

    def find(self, path: str) -> str:
        """The template of a path without its query, or `NO_ROUTE`."""
        return self._router.find(path.encode("utf-8", "replace")).template


def _no_answer(_: object) -> NoReturn:
    raise AssertionError("no request comes to the paths of other servers")
