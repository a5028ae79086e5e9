"""A request to one of our listeners: HTTP's, and the parameters of its path.

Rules: this is not the request of Twisted's web server, which keeps sessions, shows
errors as HTML, and loads two megabytes of modules for that.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from twisted.web import http

from homeserver.net.exchange import Exchange
from homeserver.protocol.xmatrix_headers import XMatrixHeaders


class Request(http.Request):
    """A request that a route answers."""

    parameters: Mapping[str, bytes] = {}
    """The parameters of the path, by name, percent-decoded."""

    exchange: Exchange
    """What is known of the request; set before it is admitted or answered."""

    admitted: object = None
    """What the route's `admit` returned; None for a request without a body."""

    header_lines: Sequence[bytes] = ()
    """The headers as they came; empty unless they are recorded."""

    is_refused = False
    """Whether it was answered before its body was read."""

    is_answered = False
    """Whether its response is written, or being written."""

    start_line: bytes = b""
    """The first line as it came; empty unless it is recorded."""

    @cached_property
    def x_matrix(self) -> XMatrixHeaders:
        """The `Authorization` headers, parsed once."""
        lines = self.requestHeaders.getRawHeaders(b"Authorization", [])
        return XMatrixHeaders([line.decode("ascii", "replace") for line in lines])
