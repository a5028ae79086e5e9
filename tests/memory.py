"""A store in memory, whose jobs are done at once."""

import sqlite3
from typing import TypeVar

from homeserver.storage.database import Job, migrate

_T = TypeVar("_T")


class MemoryDatabase:
    """A `Database` without threads: a job's result is there when it is asked for."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection)

    def __del__(self) -> None:
        self.connection.close()

    async def write(self, job: Job[_T]) -> _T:
        """Run a job in a transaction of its own."""
        self.connection.execute("BEGIN")
        try:
            result = job(self.connection.cursor())
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result

    async def read(self, job: Job[_T]) -> _T:
        """Run a job that writes nothing."""
        return job(self.connection.cursor())
