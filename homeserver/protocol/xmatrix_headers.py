"""The X-Matrix headers of one request, as far as they can be judged alone.

Rules: nothing in them is proven. A malformed header beside a valid one is ignored: it
may be for another algorithm, and one valid header is enough.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Sequence
from contextlib import suppress

from homeserver.protocol.errors import BadAuthorization, Unauthorized, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization

MAX_HEADERS = 8  # one for each signing key of the origin; most have one or two


class MissingAuthorization(Unauthorized):
    """The request has no X-Matrix header."""


class OtherDestination(Unauthorized):
    """The request is for another server."""


class XMatrixHeaders:
    """The `Authorization` headers of one request, parsed once."""

    def __init__(self, texts: Sequence[str]) -> None:
        """`texts` are the values of the headers."""
        self.texts = texts
        self.readable: list[Authorization] = []
        """Those that parse."""

        for text in texts[:MAX_HEADERS]:
            with suppress(BadAuthorization):
                self.readable.append(Authorization.parse(text))

    @property
    def claimed_origin(self) -> str | None:
        """The unverified origin; None if no header can be read."""
        return self.readable[0].origin.name if self.readable else None

    @property
    def claimed_destination(self) -> ServerName | None:
        """The first destination that they name; older servers name none."""
        for each in self.readable:
            if each.destination is not None:
                return each.destination
        return None

    def check(self, own_name: ServerName) -> Sequence[Authorization]:
        """The authorizations for a request to `own_name`.

        At least one, all of one origin. Raises `BadAuthorization` and `Unauthorized`.
        """
        if not self.texts:
            raise MissingAuthorization(
                "the request has no X-Matrix Authorization header"
            )
        if len(self.texts) > MAX_HEADERS:
            raise BadAuthorization(
                f"the request has {len(self.texts)} Authorization headers; "
                f"{MAX_HEADERS} are allowed"
            )
        if not self.readable:
            Authorization.parse(self.texts[0])  # which raises the reason
        origin = self.readable[0].origin
        for each in self.readable:
            if each.origin != origin:
                raise BadAuthorization("the X-Matrix headers name different origins")
            if each.destination is not None and each.destination != own_name:
                raise OtherDestination(
                    f"the request is for {quote(str(each.destination))}; this server "
                    f"is {own_name}"
                )
        return self.readable
