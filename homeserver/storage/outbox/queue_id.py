"""Which queue: that of one of our names, for one destination.

Rules: two of our names have two queues for one destination, with leases, back-offs and
transactions of their own. A queue is locked by its row, which building a transaction
and recording an outcome change too.
"""

from typing import NamedTuple, Self

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor


class QueueId(NamedTuple):
    """One of our names, and a destination."""

    server_name: ServerName
    destination: ServerName

    @property
    def row(self) -> tuple[str, str]:
        """The columns `server_name` and `destination` of its rows."""
        return self.server_name.name, self.destination.name

    def lock(self, cursor: Cursor) -> None:
        """Lock its row until the commit."""
        cursor.execute(
            "SELECT 1 FROM destinations WHERE server_name = ? AND destination = ?"
            " FOR UPDATE",
            self.row,
        ).fetchall()

    @classmethod
    def of_row(cls, server_name: str, destination: str) -> Self:
        """The queue of a row."""
        return cls(ServerName.parse(server_name), ServerName.parse(destination))
