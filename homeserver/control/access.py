"""Access to the control API: with the token, and never from a web page.

Rules: every route but `/health` needs the token. A browser that runs a foreign page
sends that page's `Origin`, or a foreign `Host`; such requests are refused, with and
without the token. A `Host` is an address, `localhost` or a configured name. An `Origin`
is this very server's: `http://` and the `Host` of its own request.

Specification: RFC 6454, section 7 (`Origin`).
"""

import hmac
import re
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


# A host and maybe a port, as `read_target` has admitted them.
_HOST_AND_PORT = re.compile(r"(.*?)(?::[0-9]*)?", re.DOTALL)


IN_TOKEN_FILE = "TOKEN is in the file that `token_file` in [control] names"  # noqa: S105 - where


class TokenGuard:
    """Lets requests with the token through."""

    def __init__(
        self,
        token: str,
        open_templates: Collection[str] = (),
        hosts: Collection[str] = (),
        source: str = IN_TOKEN_FILE,
    ) -> None:
        """`open_templates` are the routes that need no token.

        `hosts` are the names, without a port, that may stand in `Host`. `source` says
        where the token is found.
        """
        self._source = source
        self._expected = token.encode()
        self._open = open_templates
        self._hosts = frozenset(map(str.lower, hosts))

    def check(self, request: Request, template: str) -> None:
        """Raise `MissingToken`, `UnknownToken` or `Forbidden` for all others.

        Paths that lead nowhere need the token too: without it, known and unknown paths
        look alike.
        """
        self.check_host(request)
        if template not in self._open:
            self._check_token(request)

    def check_host(self, request: Request) -> None:
        """Raise `Forbidden` for what a browser sends on behalf of a foreign page."""
        host = None
        for value in request.requestHeaders.getRawHeaders(b"Host", []):
            host = value.decode("ascii", "replace").lower()
            if not self._is_own(host):
                raise Forbidden(
                    "the control API is reached by address, as localhost, or by a name "
                    f"in `hosts` of [control]; {quote(value)} (Host) is none of them"
                )
        for value in request.requestHeaders.getRawHeaders(b"Origin", []):
            if host is None or value.decode("ascii", "replace") != f"http://{host}":
                raise Forbidden(
                    "the control API is not for web pages of other servers; the page "
                    f"is of {quote(value)} (Origin)"
                )

    def _is_own(self, host: str) -> bool:
        """Whether a `Host` is a name that no foreign DNS can point at this server."""
        found = _HOST_AND_PORT.fullmatch(host)
        if found is not None and found[1] in self._hosts:
            return True
        try:
            name = ServerName.parse(host)
        except InvalidParam:
            return False
        return name.is_ip or name.host == "localhost"

    def _check_token(self, request: Request) -> None:
        given = request.requestHeaders.getRawHeaders(b"Authorization", [])
        if not given:
            raise MissingToken(
                f"the control API needs `Authorization: Bearer TOKEN`; {self._source}"
            )
        # RFC 9110, section 11.1: a scheme is written in any case.
        scheme, _, token = given[0].partition(b" ")
        if (
            len(given) != 1
            or scheme.lower() != b"bearer"
            or not hmac.compare_digest(token.lstrip(b" "), self._expected)
        ):
            raise UnknownToken("this is not the token of this server")
