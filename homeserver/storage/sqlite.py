"""SQLite: the store in one file, which is there without being set up.

Rules of the room: who reads does not wait for who writes (WAL), and a commit is on the
disk when it returns, power cut or not.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from homeserver.storage.connection import EngineCursor
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.dialect import for_sqlite

# For who has locked the file: a commit takes milliseconds.
_LOCK_SECONDS = 5

# After these, another connection may find the file as it should be.
_LOSSES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


class SqliteConnection:
    """A `Connection` to a file."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`connection` is in autocommit mode; `name` is what errors call the file.

        `check` raises `StoreUnavailable` if the file is not there any more.
        """
        self.connection = connection
        self._name = name
        self._check = check
        self.is_lost = False

    def check(self) -> None:
        """As `Connection.check`."""
        try:
            self._check()
        except StoreUnavailable:
            self.is_lost = True
            raise

    def abort(self) -> None:
        """As `Connection.abort`."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.interrupt()

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
        # What went into a file that is nowhere any more is not on the disk.
        self.check()

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
        # The low byte is the kind of error.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOSSES:
            self.is_lost = True
        return StoreUnavailable(f"{self._name} cannot be used: {error}")


class SqliteFile:
    """The file of a store, and the connections to it."""

    def __init__(self, path: Path) -> None:
        """There is a file at `path` after the first connection."""
        self._path = path
        self._identity: tuple[int, int] | None = None

    def connect(self) -> SqliteConnection:
        """Open the file; raises `StoreUnavailable`."""
        if self._identity is not None:
            self.check()
        with contextlib.ExitStack() as stack:
            try:
                # Each connection is used by one thread, not by the one that opens it.
                connection = sqlite3.connect(
                    self._path,
                    isolation_level=None,
                    check_same_thread=False,
                    timeout=_LOCK_SECONDS,
                )
                stack.callback(connection.close)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"{self._path} cannot be used: {error}"
                ) from None
            stack.pop_all()
        self._identity = self._identity or self._identify()
        return SqliteConnection(connection, str(self._path), self.check)

    def check(self) -> None:
        """Raise `StoreUnavailable` unless the file is the one that was opened first.

        Not even another one that is as good is taken: what SQLite keeps beside the
        file of before (`-wal`) would be written into it.
        """
        if self._identify() != self._identity:
            raise StoreUnavailable(
                f"{self._path} is not the file any more that was opened; put that one "
                "back, or stop this server, take away the files whose names go on with "
                "-wal and -shm, and start it again"
            )

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
