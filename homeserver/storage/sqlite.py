"""SQLite: the store in one file, which is there without being set up.

Rules of the room: who reads does not wait for who writes (WAL), and a commit is on the
disk when it returns, power cut or not. But over a connection for the shortcut it is
only as good as written: `settle` has it on the disk. The log (`-wal`) is one sequence
of commits: what is on the disk of it, is there with all that came before.

Reference: SQLite, "Write-Ahead Logging" and "PRAGMA synchronous".
"""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from homeserver.storage.connection import EngineCursor
from homeserver.storage.database import StoreUnavailable
from homeserver.storage.dialect import for_sqlite

# For who has locked the file: a commit takes milliseconds.
_LOCK_SECONDS = 5

# Between two times that what is in the log is brought into the file itself, where
# nobody waits long for it.
_CHECKPOINT_SECONDS = 1.0

# As SQLite does it.
_sync = os.fsync if sys.platform == "darwin" else os.fdatasync

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
        file: "SqliteFile | None" = None,
    ) -> None:
        """`connection` is in autocommit mode; `name` is what errors call the file.

        `file` is that of the store; None if it is in memory.
        """
        self.connection = connection
        self._name = name
        self._file = file
        self._log: int | None = None
        self.is_lost = False

    def check(self) -> None:
        """As `Connection.check`."""
        try:
            if self._file is not None:
                self._file.check()
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

    def settle(self) -> None:
        """As `Connection.settle`."""
        if self._file is not None:
            # It stays open: it is the same one as long as this connection is there.
            if self._log is None:
                self._log = self._file.open_log()
            self._file.settle(self._log)
            if self._file.is_checkpoint_due():
                self.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                # Who writes next begins the log anew, and waits for the disk.
                self.begin()
                self.record_version(self.load_version())
                self.commit()

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
        if self._log is not None:
            os.close(self._log)
            self._log = None
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

    def __init__(
        self,
        path: Path,
        seconds: Callable[[], float],
        sync: Callable[[int], object] = _sync,
    ) -> None:
        """There is a file at `path` after the first connection.

        `seconds` is the time; `sync` has on the disk what was written into a file.
        """
        self._path = path
        self._path_of_log = Path(f"{path}-wal")
        self._seconds = seconds
        self._sync = sync
        self._identity: tuple[int, int] | None = None
        self._checkpointed_at = seconds()
        self._is_doubtful = False

    def connect(self) -> SqliteConnection:
        """Open the file; raises `StoreUnavailable`."""
        connection = self._connect(_LOCK_SECONDS, "synchronous = FULL")
        if self._is_doubtful:
            try:
                self._mend(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def connect_for_shortcut(self) -> SqliteConnection:
        """Open the file, to wait for no lock; commits have to be settled."""
        return self._connect(0, "synchronous = NORMAL", "wal_autocheckpoint = 0")

    def open_log(self) -> int:
        """Open the log, of which a connection is open; raises `StoreUnavailable`."""
        try:
            return os.open(self._path_of_log, os.O_RDONLY)
        except OSError as error:
            raise self._explain(error) from None

    def settle(self, log: int) -> None:
        """Have the log on the disk; raises `StoreUnavailable`."""
        try:
            self._sync(log)
        except OSError as error:
            self._is_doubtful = True
            raise self._explain(error) from None

    def is_checkpoint_due(self) -> bool:
        """Whether it is time to bring what is in the log into the file itself."""
        now = self._seconds()
        is_due = now - self._checkpointed_at >= _CHECKPOINT_SECONDS
        if is_due:
            self._checkpointed_at = now
        return is_due

    def check(self) -> None:
        """Raise `StoreUnavailable` unless the file is the one that was opened first.

        Not even another one that is as good is taken: what SQLite keeps beside the
        file of before (`-wal`) would be written into it. Nor is one whose log may not
        be on the disk, before it was opened again.
        """
        self._check_identity()
        if self._is_doubtful:
            raise StoreUnavailable(f"{self._path_of_log} may not be on the disk")

    def _connect(self, lock_seconds: float, *settings: str) -> SqliteConnection:
        if self._identity is not None:
            self._check_identity()
        with contextlib.ExitStack() as stack:
            try:
                # Each connection is used by one thread, not by the one that opens it.
                connection = sqlite3.connect(
                    self._path,
                    isolation_level=None,
                    check_same_thread=False,
                    timeout=lock_seconds,
                )
                stack.callback(connection.close)
                connection.execute("PRAGMA journal_mode = WAL")
                for setting in ("foreign_keys = ON", *settings):
                    connection.execute(f"PRAGMA {setting}")
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"{self._path} cannot be used: {error}"
                ) from None
            stack.pop_all()
        self._identity = self._identity or self._identify()
        return SqliteConnection(connection, str(self._path), self)

    def _mend(self, connection: SqliteConnection) -> None:
        """Bring into the file itself what may not be on the disk of the log.

        A sync that failed is not repeated: the system may take for written what is not.
        """
        row = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if row[0]:
            raise StoreUnavailable(f"{self._path} is being read, and cannot be mended")
        self._is_doubtful = False

    def _check_identity(self) -> None:
        if self._identify() != self._identity:
            raise StoreUnavailable(
                f"{self._path} is not the file any more that was opened; put that one "
                "back, or stop this server, take away the files whose names go on with "
                "-wal and -shm, and start it again"
            )

    def _explain(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path_of_log} cannot be used: {error.strerror}")

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - half as long
        except OSError:
            return None
        return status.st_dev, status.st_ino
