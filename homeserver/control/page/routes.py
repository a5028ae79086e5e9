"""The page at `GET /` of the control API, with its style and its scripts.

Rules: these files need no token, because nothing of a server is in them: the page asks
the control API with the token that its user gives it. The browser runs nothing but
these files, whatever text of a peer is shown: `POLICY` leaves out inline scripts and
styles, other addresses, and making nodes out of text.

Specification: Content Security Policy Level 3; Trusted Types.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.protocol.errors import NotFound

_FILE = "/page/{file}"

OPEN_TEMPLATES = frozenset({"/", _FILE})
"""The routes of the page; they need no token."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
"""What the browser may do for the page."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A new version of the product has new files at the same addresses.
    "Cache-Control": "no-cache",
}

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_routes() -> list[Route]:
    """The page and its files, which are read when they are first asked for."""

    def page(_: Request) -> Reply:
        return _load()["index.html"]

    def file(request: Request) -> Reply:
        name = request.parameters["file"].decode("latin-1")
        found = _load().get(name)
        if found is None:
            raise NotFound("the page has no such file")
        return found

    return [Route("GET", "/", page), Route("GET", _FILE, file)]


@cache
def _load() -> Mapping[str, Reply]:
    """The replies with the files, by name."""
    found = {}
    for each in files("homeserver.control.page").joinpath("files").iterdir():
        kind = _TYPES.get(each.name.rpartition(".")[2])
        if kind is not None:  # an editor may keep others beside them
            headers = {"Content-Type": kind, **_HEADERS}
            found[each.name] = Reply(each.read_bytes(), headers=headers)
    return MappingProxyType(found)
