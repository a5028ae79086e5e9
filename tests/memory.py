"""A store in memory, whose jobs are done at once."""

import sqlite3
from typing import TypeVar

from homeserver.storage.connection import Connection
from homeserver.storage.database import Job
from homeserver.storage.schema import migrate
from homeserver.storage.sqlite import SqliteConnection

_T = TypeVar("_T")


class ImmediateDatabase:
    """A `Database` without threads: a job's result is there when it is asked for."""

    def __init__(self, own: Connection) -> None:
        """`own` is closed with it."""
        self._own = own
        migrate(own)

    def __del__(self) -> None:
        self._own.close()

    async def write(self, job: Job[_T]) -> _T:
        """Run a job in a transaction of its own."""
        self._own.begin()
        try:
            result = job(self._own.cursor())
        except BaseException:
            self._own.rollback()
            raise
        self._own.commit()
        return result

    async def read(self, job: Job[_T]) -> _T:
        """Run a job that writes nothing."""
        return job(self._own.cursor())

    async def settle(self) -> None:
        """All is as settled as it will be."""


class MemoryDatabase(ImmediateDatabase):
    """That of SQLite, in memory."""

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        """`connection` is to a store that is there already, in autocommit mode."""
        # It is closed by the collector of garbage, in whatever thread that is.
        self.connection = connection or sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        super().__init__(SqliteConnection(self.connection, ":memory:"))
