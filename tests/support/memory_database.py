"""A store in memory, and the SQLite connection that a test looks into."""

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.sqlite import SqliteConnection, connect_in_memory


class MemoryDatabase(ImmediateDatabase):
    """An `ImmediateDatabase` of SQLite."""

    def __init__(self, own: SqliteConnection | None = None) -> None:
        """`own` is a connection to a store that exists already."""
        own = own or connect_in_memory()
        self.connection = own.connection
        super().__init__(own)
