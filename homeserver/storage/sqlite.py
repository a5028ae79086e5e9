"""SQLite: the store in one file, which is there without being set up.

Rules of the room: who reads does not wait for who writes (WAL), and a commit is on the
disk when it returns, power cut or not.
"""

import contextlib
import sqlite3
from pathlib import Path

from homeserver.storage.connection import EngineCursor
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.dialect import for_sqlite

# For who has locked the file: a commit takes milliseconds.
_LOCK_SECONDS = 10


class SqliteConnection:
    """A `Connection` to a file."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        """`connection` is in autocommit mode; `name` is what errors call the file."""
        self.connection = connection
        self._name = name
        self.is_lost = False

    @property
    def is_in_transaction(self) -> bool:
        """As `Connection.is_in_transaction`."""
        return self.connection.in_transaction

    def cursor(self) -> EngineCursor:
        """As `Connection.cursor`."""
        cursor = self.connection.cursor()
        return EngineCursor(cursor, for_sqlite, sqlite3.Error, self._explain)

    def begin(self) -> None:
        """As `Connection.begin`."""
        # Not when it first writes: by then it may have read what others change.
        self.cursor().execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """As `Connection.commit`."""
        self.cursor().execute("COMMIT")

    def rollback(self) -> None:
        """As `Connection.rollback`."""
        with contextlib.suppress(sqlite3.Error):  # it may have undone itself already
            self.connection.execute("ROLLBACK")

    def load_version(self) -> int:
        """As `Connection.load_version`."""
        [version] = self.cursor().execute("PRAGMA user_version").fetchone()
        return int(version)

    def record_version(self, version: int) -> None:
        """As `Connection.record_version`."""
        self.cursor().execute(f"PRAGMA user_version = {version}")

    def close(self) -> None:
        """As `Connection.close`."""
        self.connection.close()

    def _explain(self, error: sqlite3.Error) -> Exception:
        if isinstance(
            error, (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
        ):
            return error
        return StoreUnavailable(f"{self._name} cannot be used: {error}")


def connect(path: Path) -> SqliteConnection:
    """Open the file at `path`, which is made if there is none.

    Raises `StoreUnavailable`.
    """
    with contextlib.ExitStack() as stack:
        try:
            # Each connection is used by one thread, not by the one that opens it.
            connection = sqlite3.connect(
                path,
                isolation_level=None,
                check_same_thread=False,
                timeout=_LOCK_SECONDS,
            )
            stack.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path} cannot be used: {error}") from None
        stack.pop_all()
    return SqliteConnection(connection, str(path))
