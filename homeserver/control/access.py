"""Access to the control API: with the token, and never from a web page.

Rules: every route but `/health` needs the token. A browser that runs a foreign page
sends that page's `Origin`, or a foreign `Host`; such requests are refused, with and
without the token.
"""

import hmac
from collections.abc import Collection

from homeserver.http.request import Request
from homeserver.protocol.errors import Forbidden, InvalidParam, Unauthorized, quote
from homeserver.protocol.identifiers import ServerName


class MissingToken(Unauthorized):
    """The request has no bearer token."""

    errcode = "M_MISSING_TOKEN"


class UnknownToken(Unauthorized):
    """The request has another bearer token than ours."""

    errcode = "M_UNKNOWN_TOKEN"


class TokenGuard:
    """Lets requests with the token through."""

    def __init__(self, token: str, open_templates: Collection[str] = ()) -> None:
        """`open_templates` are the routes that need no token."""
        self._expected = token.encode()
        self._open = open_templates

    def check(self, request: Request, template: str) -> None:
        """Raise `MissingToken`, `UnknownToken` or `Forbidden` for all others.

        Paths that lead nowhere need the token too: without it, known and unknown paths
        look alike.
        """
        check_host(request)
        if template not in self._open:
            self._check_token(request)

    def _check_token(self, request: Request) -> None:
        given = request.requestHeaders.getRawHeaders(b"Authorization", [])
        if not given:
            raise MissingToken(
                "the control API needs `Authorization: Bearer TOKEN`; TOKEN is in "
                "the file that `token_file` in [control] names"
            )
        # RFC 9110, section 11.1: a scheme is written in any case.
        scheme, _, token = given[0].partition(b" ")
        if (
            len(given) != 1
            or scheme.lower() != b"bearer"
            or not hmac.compare_digest(token.lstrip(b" "), self._expected)
        ):
            raise UnknownToken("this is not the token of this server")


def check_host(request: Request) -> None:
    """Raise `Forbidden` for what a browser sends on behalf of a foreign page."""
    headers = request.requestHeaders
    if headers.hasHeader(b"Origin"):
        raise Forbidden("the control API is not for web pages (Origin)")
    for value in headers.getRawHeaders(b"Host", []):
        if not _is_local(value.decode("ascii", "replace")):
            raise Forbidden(
                f"the control API is asked by address or as localhost, not as "
                f"{quote(value)} (Host)"
            )


def _is_local(host: str) -> bool:
    """Whether a `Host` is an address or `localhost`: no name that a DNS could turn."""
    try:
        name = ServerName.parse(host)
    except InvalidParam:
        return False
    return name.is_ip or name.host == "localhost"
