"""A store in memory, and the SQLite connection that a test looks into."""

from functools import cache
from typing import TypeVar

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Job, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection, connect_in_memory
from homeserver.storage.migrations.migrate import migrate
from tests.support.our_names import OUR_NAME

_T = TypeVar("_T")


@cache
def _empty() -> bytes:
    """An empty store: all migrations are thirty milliseconds, a copy is none."""
    own = connect_in_memory()
    migrate(own, OUR_NAME)
    store: bytes = own.connection.serialize()
    own.close()
    return store


def _copy() -> SqliteConnection:
    own = connect_in_memory()
    own.connection.deserialize(_empty())
    return own


class MemoryDatabase(ImmediateDatabase):
    """An `ImmediateDatabase` of SQLite."""

    def __init__(self, own: SqliteConnection | None = None) -> None:
        """`own` is a connection to a store that exists already.

        Rows of an older version belong to `OUR_NAME`.
        """
        own = own or _copy()
        self.connection = own.connection
        super().__init__(own, OUR_NAME)


class FailingDatabase(MemoryDatabase):
    """A store that can be full."""

    is_full = False

    async def write(self, job: Job[_T]) -> _T:
        """Write, unless the store is full."""
        if self.is_full:
            raise StoreUnavailable("full")
        return await super().write(job)
