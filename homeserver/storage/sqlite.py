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

# What the log may have before it is brought into the file itself and begins anew. It is
# the measure that SQLite has itself, a thousand pages.
_MAX_LOG_BYTES = 4_096_000

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
        self.is_lost = False
        self.log: int | None = None
        """The log, open, if this connection sees to it. It is the same one as long as
        this connection is there, which closes it."""

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
        self._tidy()

    def settle(self) -> None:
        """As `Connection.settle`."""
        if self._file is not None and self.log is not None:
            self._file.settle(self.log)
            self._tidy()

    def begin_log(self) -> None:
        """Write what changes nothing; raises `StoreUnavailable`.

        Who writes first into a log that begins anew waits for the disk: that is not to
        be who waits for nobody.
        """
        self.begin()
        self.record_version(self.load_version())
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
        if self.log is not None:
            os.close(self.log)
            self.log = None
        self.connection.close()

    def _tidy(self) -> None:
        """Bring what is in the log into the file, if it is time.

        What was committed is on the disk, whatever becomes of that.
        """
        if self._file is None or self.log is None:
            return
        if not self._file.is_checkpoint_due(self.log):
            return
        # Those who are to be told do not wait for who has locked the file.
        self.connection.execute("PRAGMA busy_timeout = 0")
        with contextlib.suppress(StoreUnavailable):
            self.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self.begin_log()
        self.rollback()
        self.connection.execute(f"PRAGMA busy_timeout = {_LOCK_SECONDS * 1000}")

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
        sync: Callable[[int], object] = _sync,
    ) -> None:
        """There is a file at `path` after the first connection.

        `sync` has on the disk what was written into a file.
        """
        self._path = path
        self._path_of_log = Path(f"{path}-wal")
        self._sync = sync
        self._identity: tuple[int, int] | None = None
        self._due_at = _MAX_LOG_BYTES
        self._is_doubtful = False

    def connect(self) -> SqliteConnection:
        """Open the file; raises `StoreUnavailable`."""
        is_first = self._identity is None
        connection = self._connect(
            _LOCK_SECONDS,
            "synchronous = FULL",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {_MAX_LOG_BYTES}",
        )
        try:
            if self._is_doubtful:
                self._mend(connection)
            if is_first:
                # Then all is on the disk, too, that who was killed has left there.
                connection.begin_log()
            connection.load_version()  # the log is not there before anybody has read
            connection.log = self._open_log()
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_for_shortcut(self) -> SqliteConnection:
        """Open the file, to wait for no lock; commits have to be settled."""
        return self._connect(0, "synchronous = NORMAL", "wal_autocheckpoint = 0")

    def settle(self, log: int) -> None:
        """Have the log on the disk; raises `StoreUnavailable`."""
        try:
            self._sync(log)
        except OSError as error:
            self._is_doubtful = True
            raise self._explain(error) from None

    def is_checkpoint_due(self, log: int) -> bool:
        """Whether it is time to bring what is in the log into the file itself.

        Where somebody who reads keeps it from beginning anew, it is time again when it
        has grown by as much again.
        """
        size = os.fstat(log).st_size
        if size <= _MAX_LOG_BYTES:
            self._due_at = _MAX_LOG_BYTES
        is_due = size > self._due_at
        if is_due:
            self._due_at = size + _MAX_LOG_BYTES
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

    def _open_log(self) -> int:
        """Open the log, of which a connection is open; raises `StoreUnavailable`."""
        try:
            return os.open(self._path_of_log, os.O_RDONLY)
        except OSError as error:
            raise self._explain(error) from None

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
