"""How many requests of each kind other servers have made, for reports.

Rules: only authenticated requests are counted, by the templates of their routes. The
counts are in memory, for the servers seen last.
"""

from collections import Counter
from collections.abc import Mapping

from homeserver.net.bounded_map import BoundedMap
from homeserver.protocol.identifiers import ServerName

_MAX_SERVERS = 1000  # a test has fewer peers; half a megabyte


class RequestCounts:
    """The counts of one of our servers."""

    def __init__(self) -> None:
        self._counts: BoundedMap[ServerName, Counter[str]] = BoundedMap(_MAX_SERVERS)

    def add(self, origin: ServerName, method: str, template: str) -> None:
        """Count a request."""
        counts = self._counts.get(origin)
        if counts is None:
            counts = self._counts[origin] = Counter()
        counts[f"{method} {template}"] += 1

    def forget_all(self) -> None:
        """Count from nothing again."""
        self._counts.clear()

    def of(self, origin: ServerName) -> Mapping[str, int]:
        """The number of requests of a server, by method and template."""
        return self._counts.get(origin, {})
