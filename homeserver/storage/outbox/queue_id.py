"""Which queue: that of one of our names, for one destination.

Rules: two of our names have two queues for one destination, with leases, back-offs and
transactions of their own.
"""

from typing import NamedTuple, Self

from homeserver.protocol.identifiers import ServerName


class QueueId(NamedTuple):
    """One of our names, and a destination."""

    server_name: ServerName
    destination: ServerName

    @property
    def row(self) -> tuple[str, str]:
        """The columns `server_name` and `destination` of its rows."""
        return self.server_name.name, self.destination.name

    @classmethod
    def of_row(cls, server_name: str, destination: str) -> Self:
        """The queue of a row."""
        return cls(ServerName.parse(server_name), ServerName.parse(destination))
