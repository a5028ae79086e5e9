"""The X-Matrix headers of a request, as far as they can be judged alone.

Rules: nothing in them is proven. A malformed header beside a valid one is ignored.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from homeserver.protocol.errors import (
    BadAuthorization,
    ProtocolError,
    Unauthorized,
    quote,
)
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization

MAX_HEADERS = 8  # one for each signing key of the origin; most have one or two


class MissingAuthorization(Unauthorized):
    """The request has no X-Matrix header."""


class OtherDestination(Unauthorized):
    """The request is for another server."""


def check_headers(headers: Sequence[str], own_name: ServerName) -> list[Authorization]:
    """The authorizations in the headers of a request to `own_name`.

    At least one, all of one origin. Raises `BadAuthorization` and `Unauthorized`.
    """
    authorizations = _parse(headers)
    for each in authorizations:
        if each.destination not in {None, own_name}:
            raise OtherDestination(
                f"the request is for {quote(str(each.destination))}; this server "
                f"is {own_name}"
            )
    return authorizations


@lru_cache(maxsize=16)  # a head is checked first without the body, then with it
def _read_header(header: str) -> Authorization:
    return Authorization.parse(header)


def _parse(headers: Sequence[str]) -> list[Authorization]:
    """The authorizations of one request: at least one, all of one origin."""
    if not headers:
        raise MissingAuthorization("the request has no X-Matrix Authorization header")
    if len(headers) > MAX_HEADERS:
        raise BadAuthorization(
            f"the request has {len(headers)} Authorization headers; {MAX_HEADERS} are "
            "allowed"
        )
    authorizations: list[Authorization] = []
    problems: list[BadAuthorization] = []
    for header in headers:
        try:
            authorizations.append(_read_header(header))
        except BadAuthorization as problem:
            problems.append(
                problem
            )  # maybe another algorithm; one valid header is enough
    if not authorizations:
        raise problems[0]
    if any(each.origin != authorizations[0].origin for each in authorizations):
        raise BadAuthorization("the X-Matrix headers name different origins")
    return authorizations


def readable(headers: Sequence[str]) -> Sequence[Authorization]:
    """The authorizations in those of the headers that parse; none of them proven."""
    return _readable(tuple(headers[:MAX_HEADERS]))


@lru_cache(maxsize=16)  # several modules look at the headers of one request
def _readable(headers: tuple[str, ...]) -> tuple[Authorization, ...]:
    found: list[Authorization] = []
    for header in headers:
        with suppress(ProtocolError):
            found.append(_read_header(header))
    return tuple(found)


def claimed_destination(headers: Sequence[str]) -> ServerName | None:
    """The first destination that the headers name; malformed ones name none."""
    for each in readable(headers):
        if each.destination is not None:
            return each.destination
    return None


def claimed_origin(headers: Sequence[str]) -> str | None:
    """The unverified origin in the first header; None if it is malformed."""
    first = readable(headers[:1])
    return first[0].origin.name if first else None
