"""SQLite: the store in one file, which needs no set-up.

In WAL mode a commit appends to the log (`-wal`), and a reader does not wait for a
writer. A commit over a connection of `connect` syncs the log (`synchronous = FULL`), so
it is on the disk when it returns, even after a power cut. A commit over a connection of
`connect_for_shortcut` only writes to the log. The log is one sequence of commits, and
a sync of it covers all before that, whoever has made them.

Rules: a file that is not the one that was opened first is not touched. A log whose sync
failed is not trusted again by this process.

Reference: SQLite, "Write-Ahead Logging" and "PRAGMA synchronous".
"""

import contextlib
import os
import sqlite3
from pathlib import Path

from homeserver.net.system_errors import in_words
from homeserver.storage.engine.connection import Connection, EngineCursor
from homeserver.storage.engine.dialect import for_sqlite
from homeserver.storage.engine.interface import StoreUnavailable

# How long a connection waits for another process's lock; a commit takes milliseconds.
_LOCK_SECONDS = 5

# The length to which SQLite truncates a log that it starts again: a thousand pages, its
# length when a commit copies it into the file.
_LOG_BYTES = 4_096_000

# What SQLite calls too, where the system has it.
_sync = getattr(os, "fdatasync", os.fsync)

# What a file says that it is of, beside that it is SQLite's: any number but zero.
_APPLICATION_ID = int.from_bytes(b"mtrx")

# Mistakes in a job's statement.
_MISTAKES = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)

# After these errors, a new connection may find a usable file.
_LOSSES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


class SqliteConnection(Connection):
    """A `Connection` to a file."""

    is_lost = False

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        file: "SqliteFile | None" = None,
    ) -> None:
        """`connection` is in autocommit mode; `name` is the file's name in errors.

        `file` is None if the store is in memory.
        """
        self.connection = connection
        self._name = name
        self._file = file
        self._log: int | None = None

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
        # Not at the first write: another writer could change what was read before it.
        self.cursor().execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """As `Connection.commit`."""
        super().commit()
        # A commit into a file that was removed is not on the disk.
        self.check()

    def sync(self) -> None:
        """As `Connection.sync`."""
        if self._file is None:
            return
        if self._log is None:
            self._log = self._file.open_log()
        # A commit costs more: it takes the lock and a page of the log, and the other
        # connections forget what they have in memory. But it also brings a long log
        # into the file.
        if self._log is None or os.fstat(self._log).st_size > _LOG_BYTES:
            self.touch()
            return
        try:
            _sync(self._log)
        except OSError as error:
            self._file.distrust()
            raise StoreUnavailable(
                f"{self._name}-wal is not synced: {in_words(error)}"
            ) from None
        self.check()

    def touch(self) -> None:
        """As `Connection.touch`."""
        # Written even if it is the same, and one statement is a transaction.
        self.cursor().execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self.check()

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
        if self._log is not None:
            with contextlib.suppress(OSError):
                os.close(self._log)
            self._log = None

    def _explain(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, _MISTAKES):
            return error
        code = getattr(error, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_IOERR_FSYNC and self._file is not None:
            self._file.distrust()
        if code & 0xFF in _LOSSES:  # the low byte is the kind of error
            self.is_lost = True
        return StoreUnavailable(f"{self._name} cannot be used: {error}")


def connect_in_memory() -> SqliteConnection:
    """An empty database in memory, which ends with its connection."""
    own = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    return SqliteConnection(own, ":memory:")


class SqliteFile:
    """The file of a store, and the connections to it."""

    def __init__(self, path: Path) -> None:
        """The first connection makes the file if it is missing."""
        self._path, self._name = path, str(path)
        self._identity: tuple[int, int] | None = None
        self._is_trusted = True

    def connect(self) -> SqliteConnection:
        """Open the file; raises `StoreUnavailable`."""
        return self._connect(
            _LOCK_SECONDS, "synchronous = FULL", f"journal_size_limit = {_LOG_BYTES}"
        )

    def connect_for_shortcut(self) -> SqliteConnection:
        """Open the file for commits without a sync; it waits for no lock.

        Only full commits bring the log into the file, as that waits for the disk.
        """
        return self._connect(
            0,
            "synchronous = NORMAL",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {_LOG_BYTES}",
        )

    def open_log(self) -> int | None:
        """A file descriptor of the log; None if it cannot be opened."""
        with contextlib.suppress(OSError):
            return os.open(f"{self._path}-wal", os.O_RDONLY)
        return None

    def distrust(self) -> None:
        """Make the store unavailable from now on, because a sync of the log has failed.

        The system may report success for the next sync, of pages that it has lost.
        """
        self._is_trusted = False

    def check(self) -> None:
        """Raise `StoreUnavailable` unless the file is the one that was opened first.

        SQLite would write the log of the first file (`-wal`) into a copy.
        """
        if self._identify() != self._identity:
            raise StoreUnavailable(
                f"{self._path} is not the file any more that was opened; put that one "
                "back, or stop this server, take away the files whose names go on with "
                "-wal and -shm, and start it again"
            )
        if not self._is_trusted:
            raise StoreUnavailable(
                f"the disk failed to sync {self._path}-wal; look at the disk, and "
                "start this server again"
            )

    def _connect(self, lock_seconds: float, *settings: str) -> SqliteConnection:
        if self._identity is not None:
            self.check()
        with contextlib.ExitStack() as stack:
            try:
                if self._identity is None:
                    # For its owner alone; SQLite gives the files beside it (`-wal`,
                    # `-shm`) the same mode.
                    with contextlib.suppress(FileExistsError):
                        self._path.touch(0o600, exist_ok=False)
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
            except (sqlite3.Error, OSError) as error:
                raise StoreUnavailable(
                    f"{self._path} cannot be used: {in_words(error)}"
                ) from None
            stack.pop_all()
        self._identity = self._identity or self._identify()
        return SqliteConnection(connection, str(self._path), self)

    def _identify(self) -> tuple[int, int] | None:
        # Several times for each request; a `Path`, and `suppress`, double its time.
        try:
            status = os.stat(self._name)  # noqa: PTH116 - see above
        except OSError:
            return None
        return status.st_dev, status.st_ino
