"""What a server of ours has recorded: requests, connections and DNS questions.

Rules: read from the record of the lab, oldest first; nothing is kept here.
"""

from collections.abc import Sequence

from msgspec import Struct

from homeserver.lab.record.entry import Entry
from homeserver.net.exchange import Exchange

_KEYS = "/_matrix/key/v2/"
_WELL_KNOWN = "/.well-known/matrix/server"


class Seen(Struct, frozen=True):
    """What arrived at a server of ours."""

    entries: Sequence[Entry]

    def _of(self, kind: str) -> list[Exchange]:
        found = (entry.exchange for entry in self.entries)
        return [each for each in found if each.kind == kind and each.direction == "in"]

    @property
    def requests(self) -> Sequence[Exchange]:
        """All requests."""
        return self._of("request")

    @property
    def connections(self) -> Sequence[Exchange]:
        """All connections, with their handshakes, also those that failed."""
        return self._of("connection")

    @property
    def questions(self) -> Sequence[Exchange]:
        """All DNS questions: `method` is the type, `path` the name."""
        return self._of("dns")

    @property
    def key_requests(self) -> Sequence[Exchange]:
        """The requests for key documents of version 2, or for those of others."""
        return [each for each in self.requests if each.path.startswith(_KEYS)]

    @property
    def well_known_requests(self) -> Sequence[Exchange]:
        """The requests for the well-known document."""
        return [each for each in self.requests if each.path == _WELL_KNOWN]

    def at(self, start: str, method: str | None = None) -> Sequence[Exchange]:
        """The requests whose path starts with a text."""
        return [
            each
            for each in self.requests
            if each.path.startswith(start) and method in {None, each.method}
        ]

    def asked(self, *types: str) -> Sequence[str]:
        """The names of DNS questions of some types, such as `SRV`."""
        return [each.path for each in self.questions if each.method in types]

    def __str__(self) -> str:
        shown = [f"{each.method} {each.path}" for each in self.requests]
        failed = [each for each in self.connections if each.result != "completed"]
        parts = [", ".join(shown[:5]) or "no request"]
        if len(shown) > 5:
            parts[0] += f" and {len(shown) - 5} more"
        if failed:
            parts.append(f"{len(failed)} failed handshakes")
        return f"our listener saw {'; '.join(parts)}"


def headers_of(exchange: Exchange, name: str) -> Sequence[str]:
    """The headers of a request that arrived, by name."""
    if exchange.details is None:
        return []
    low = name.lower()
    headers = exchange.details.request.headers
    return [value for each, value in headers if each.lower() == low]
