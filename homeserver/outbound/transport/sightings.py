"""How another server was last seen, and a key document that did not verify one.

Rules: this is for operators alone; nothing is decided by it, and it is in memory.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from homeserver.net.exchange import TlsFacts
from homeserver.protocol.discovery import Route

MAX_SIGHTINGS = 1000  # a test has fewer peers; a megabyte

# For operators who look for the mistake; each takes up to 64 KiB.
MAX_INVALID = 20


class Sighting(Struct, frozen=True):
    """The last connection to a server that shook hands."""

    route: Route
    address: str
    tls: TlsFacts | None
    """None where the connection was gone at once."""

    problem: str | None
    """Why its certificate alone does not prove its name; None if it does."""

    failure: str | None = None
    """Why it was not verified; None if it was."""

    def failed(self, why: str) -> "Sighting":
        """The sighting of a server that was not verified."""
        return replace(self, failure=why)


class InvalidDocument(Struct, frozen=True):
    """A key document that did not verify its server."""

    version: Literal[1, 2]
    data: bytes
    certificate: bytes
    """The DER of the leaf of the connection that it came on."""
