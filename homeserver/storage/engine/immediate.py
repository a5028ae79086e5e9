"""The store without a thread and without a file.

Each job runs where it is requested, in a transaction of its own on one connection. Its
tables and its SQL are those of every other store. Nothing survives the process: it is
for servers that exist as long as their process, of which many may share one.

Rules: nothing here waits. Over a connection to another engine it serves as well, and
then a job blocks the reactor for as long as that engine takes.
"""

from typing import TypeVar
from weakref import finalize

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.connection import Connection, transaction
from homeserver.storage.engine.interface import Job
from homeserver.storage.engine.sqlite import connect_in_memory
from homeserver.storage.migrations.migrate import migrate

_T = TypeVar("_T")


class ImmediateDatabase:
    """A `Database` whose jobs run at once, in memory."""

    def __init__(
        self, connection: Connection | None = None, owner: ServerName | None = None
    ) -> None:
        """`connection`, by default to a new store, is closed with it.

        `owner` is as in `migrate`.
        """
        self._connection = connection or connect_in_memory()
        # Not by `__del__`: in a circle, the connection may end first, with a warning.
        finalize(self, self._connection.close)
        migrate(self._connection, owner)

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        with transaction(self._connection) as cursor:
            return job(cursor)

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        return job(self._connection.cursor())

    async def settle(self) -> None:
        """As `Database.settle`; there is no disk."""
