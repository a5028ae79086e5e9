"""A store in memory, whose jobs are done at once."""

import sqlite3
from typing import TypeVar

from homeserver.storage.database import Job
from homeserver.storage.schema import migrate
from homeserver.storage.sqlite import SqliteConnection

_T = TypeVar("_T")


class MemoryDatabase:
    """A `Database` without threads: a job's result is there when it is asked for."""

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        """`connection` is to a store that is there already, in autocommit mode."""
        self.connection = connection or sqlite3.connect(
            ":memory:", isolation_level=None
        )
        self._connection = SqliteConnection(self.connection, ":memory:")
        migrate(self._connection)

    def __del__(self) -> None:
        self.connection.close()

    async def write(self, job: Job[_T]) -> _T:
        """Run a job in a transaction of its own."""
        self._connection.begin()
        try:
            result = job(self._connection.cursor())
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()
        return result

    async def read(self, job: Job[_T]) -> _T:
        """Run a job that writes nothing."""
        return job(self._connection.cursor())
