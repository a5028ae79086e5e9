"""A store in memory, whose jobs are done at once."""

from typing import TypeVar

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Job
from homeserver.storage.engine.migrate import migrate
from homeserver.storage.engine.sqlite import SqliteConnection, connect_in_memory

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

    def __init__(self, own: SqliteConnection | None = None) -> None:
        """`own` is a connection to a store that is there already."""
        own = own or connect_in_memory()
        self.connection = own.connection
        super().__init__(own)
