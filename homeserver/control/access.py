"""Who may use the control API: who has the token, and no web page.

Rules of the room: every route but `/health` is guarded. A browser that a stranger's
page drives says where it comes from (`Origin`) or whom it believes to reach (`Host`);
neither has business here, token or not.
"""

import hmac
from collections.abc import Collection
from typing import cast

from twisted.web.resource import IResource

from homeserver.http.request import Request
from homeserver.http.resource import Answer, JsonResource
from homeserver.protocol.errors import (
    Forbidden,
    InvalidParam,
    ProtocolError,
    Unauthorized,
    quote,
)
from homeserver.protocol.identifiers import ServerName


class MissingToken(Unauthorized):
    """The request has no bearer token."""

    errcode = "M_MISSING_TOKEN"


class UnknownToken(Unauthorized):
    """The request has another bearer token than ours."""

    errcode = "M_UNKNOWN_TOKEN"


class Guard:
    """Lets requests with the token through."""

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    def check(self, request: Request) -> None:
        """Raise `MissingToken`, `UnknownToken` or `Forbidden` for all others."""
        check_host(request)
        given = request.requestHeaders.getRawHeaders(b"Authorization", [])
        if not given:
            raise MissingToken(
                "the control API wants `Authorization: Bearer TOKEN`; TOKEN is in "
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


class GuardedTree(JsonResource):
    """A tree that says nothing, not even what is there, but to who may know it."""

    def __init__(self, guard: Guard, open_steps: Collection[bytes] = ()) -> None:
        """`open_steps` are the first steps of the paths that are for everybody."""
        super().__init__()
        self._guard = guard
        self._open_steps = open_steps

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """What is below, for those who may have it."""
        if path not in self._open_steps:
            try:
                self._guard.check(request)
            except ProtocolError as problem:
                return _Refusing(problem)
        return cast("IResource", super().getChildWithDefault(path, request))


class _Refusing(JsonResource):
    """What a request gets that the guard has stopped."""

    isLeaf = True

    def __init__(self, problem: ProtocolError) -> None:
        super().__init__()
        self._problem = problem

    def find_answer(self, request: Request) -> Answer:
        """Whatever was asked, the same refusal."""
        raise self._problem


def check_host(request: Request) -> None:
    """Refuse what a browser sends on behalf of somebody else's page."""
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
