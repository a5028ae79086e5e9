"""A request for a well-known document, and the one that a redirect leads to.

Rules: every hop is https, on a host and a port that a server name may have. The target
of its URL is bounded.

Specification: Server-server API, "Resolving server names", step 3; RFC 9110, section
15.4.
"""

import re
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

PORT = 443

# A path and a query as a request may have them, bounded because failures are cached.
_TARGET = re.compile(r"/[!-~]{0,999}")


class NoDelegation(Exception):
    """The answer delegates to no server; `str()` says why."""


class Hop(Struct, frozen=True):
    """One request of the chain."""

    url: str
    host: str
    port: int
    host_header: str
    target: str

    def follow(self, locations: Sequence[str]) -> "Hop":
        """The next request, to the `Location` of the response.

        Raises `NoDelegation` for a redirect that is not followed.
        """
        if not locations:
            raise NoDelegation("redirects without a Location header")
        location = locations[0]
        try:
            parts = urlsplit(urljoin(self.url, location))
            # The authority of a URL without user information has this form.
            name = ServerName.parse(parts.netloc)
        except (ValueError, ProtocolError):
            raise NoDelegation(f"redirects to {quote(location)}") from None
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        if parts.scheme != "https":
            raise NoDelegation(f"redirects to {quote(location)}, which is not https")
        if not _TARGET.fullmatch(target):
            raise NoDelegation(f"redirects to {quote(location)}, which is not a URL")
        port = PORT if name.port is None else name.port
        return Hop(f"https://{name}{target}", name.host, port, name.name, target)
