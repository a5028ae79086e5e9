"""A store in memory, and the SQLite connection that a test looks into."""

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.sqlite import SqliteConnection, connect_in_memory
from tests.support.our_names import OUR_NAME


class MemoryDatabase(ImmediateDatabase):
    """An `ImmediateDatabase` of SQLite."""

    def __init__(self, own: SqliteConnection | None = None) -> None:
        """`own` is a connection to a store that exists already.

        Rows of an older version belong to `OUR_NAME`.
        """
        own = own or connect_in_memory()
        self.connection = own.connection
        super().__init__(own, OUR_NAME)
